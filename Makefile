# make test needs Go, git and tmux, and nothing else; with a C compiler it also
# runs under the race detector, with Debian's package "prometheus" it compares metrics
# with a real server, and with "openssh-client" it signs approvals.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

LINT_VERSION := v2.15.0
LINT := .cache/golangci-lint-$(LINT_VERSION)

.PHONY: build test testbed lint fmt bench tidy
.DEFAULT_GOAL := build

build: ## ./mayday
	go build -o mayday .

# ui/cli plays whole drills against the clock, so it gets the machine for itself. With
# CI=true the crash matrix runs on the control plane too, which takes its time.
test: testbed ## vet and every test; says what is skipped and why
	@for tool in git tmux; do command -v $$tool >/dev/null || { echo "make test needs $$tool on PATH"; exit 1; }; done
	go vet ./...
	@race=-race; [ "$$(go env CGO_ENABLED)" = 1 ] || { race=; echo "no C compiler: without the race detector"; }; \
	limit=20m; [ "$${CI:-}" != true ] || limit=60m; \
	run() { go test $$race -timeout $$limit -v "$$@" 2>&1 | awk -f .ci/quiet.awk; }; \
	echo go test $$race ./...; bad=0; \
	run $$(go list ./... | grep -v '/ui/cli$$') || bad=1; \
	run ./ui/cli || bad=1; \
	[ $$bad = 0 ] && echo "all tests passed"

testbed: ## the Kubernetes control plane that tests run, in .cache; once per change of its module
	@steps/kube/testbed/build.sh .cache/testbed

lint: $(LINT) ## golangci-lint with .golangci.yml
	GOLANGCI_LINT_CACHE=$(CURDIR)/.cache/lint $(LINT) run ./...

fmt: $(LINT) ## gofmt and goimports
	GOLANGCI_LINT_CACHE=$(CURDIR)/.cache/lint $(LINT) fmt ./...

# Built from the Go module proxy, once per version.
$(LINT):
	GOBIN=$(CURDIR)/.cache/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv .cache/bin/golangci-lint $@

bench: ## the speed figures
	go test -run '^$$' -bench . -benchmem ./... | grep -v 'no test files'

tidy: ## go.mod and go.sum
	go mod tidy
