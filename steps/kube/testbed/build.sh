#!/usr/bin/env bash
# Builds the control plane and kubectl into DIR/<hash of this module's files>.
# usage: build.sh DIR
set -eu -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cache=$(cd "$1" && pwd)
cd "$here"
export CGO_ENABLED=0 GOFLAGS= GOWORK=off

# kubetest computes the same hash: it never runs a testbed of other sources.
sum=$(command -v sha256sum || echo shasum -a 256)
hash=$(LC_ALL=C; cat *.go build.sh go.mod go.sum | $sum | cut -c1-12)
out=$cache/$hash
if [ -d "$out" ]; then
	echo "testbed: $out is up to date"
	exit 0
fi

# All is built as the Kubernetes release builds it (hack/lib/golang.sh), so that
# the kubectl which timings are compared with is the real one.
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
ldflags="-s -w"
for at in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
	ldflags+=" -X $at.gitVersion=$version -X $at.gitMajor=1 -X $at.gitMinor=$(cut -d. -f2 <<<"$version")"
	ldflags+=" -X $at.gitCommit= -X $at.gitTreeState=clean"
done
tmp=$(mktemp -d "$cache/building.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
flags=(-trimpath -buildvcs=false -tags=selinux,notest,grpcnotrace)
build() {
	echo "testbed: go build $2 (Kubernetes $version)"
	SECONDS=0
	go build "${flags[@]}" -ldflags "$ldflags" -o "$tmp/$1" "$2"
	echo "testbed: $1 took $SECONDS s"
}
echo "testbed: building $out; the first time takes 5 to 12 minutes on two cores"
build testbed .
go vet "${flags[@]}" .
build kubectl k8s.io/kubernetes/cmd/kubectl

# What the parts are given to read lies in their modules as files.
module() { go list -m -f '{{.Dir}}' "$1"; }
kwok=$(module sigs.k8s.io/kwok)/kustomize/stage
mkdir "$tmp/stages" "$tmp/crds"
cp "$kwok/node/fast/node-initialize.yaml" "$kwok/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml" \
	"$kwok/pod/fast/pod-complete.yaml" "$kwok/pod/fast/pod-delete.yaml" "$tmp/stages"
cp "$(module istio.io/api)/kubernetes/customresourcedefinitions.gen.yaml" "$tmp/crds/istio.yaml"
cp "$(module sigs.k8s.io/gateway-api)"/config/crd/standard/gateway.networking.k8s.io_*s.yaml "$tmp/crds"
chmod -R u+w "$tmp" # the module cache is read-only

[ -d "$out" ] || mv "$tmp" "$out" # somebody may have been faster
# The one before this stays: somebody's tests may be running it.
ls -td "$cache"/????????????/ | tail -n +3 | xargs -r rm -rf
