package drill

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mayday/steps/drill/app"
	"mayday/steps/drill/gitrepo"
)

// Addresses is what addresses.json in a range's folder says.
type Addresses struct {
	Scenario   string `json:"scenario"`
	Clone      string `json:"clone"`
	Remote     string `json:"remote"`
	Kubeconfig string `json:"kubeconfig"`
	App        string `json:"app"`
	Staging    string `json:"staging"`
	Targets    string `json:"targets"`
	Sink       string `json:"sink"`
}

// files writes what the range's runbook refers to and needs no address for.
func (r *Range) files() error {
	if err := os.WriteFile(r.path("fix.patch"), gitrepo.Fix(), 0o600); err != nil {
		return err
	}
	// The shop's database: what the runbook's backup command backs up.
	var db bytes.Buffer
	for i, a := range app.Accounts {
		fmt.Fprintf(&db, "%d\t%s\n", i+1, a)
	}
	if err := os.WriteFile(r.path("accounts.tsv"), db.Bytes(), 0o600); err != nil {
		return err
	}
	return os.WriteFile(r.MetricsTargets, []byte("[]\n"), 0o600)
}

// signposts writes addresses.json and README.txt.
func (r *Range) signposts() error {
	b, err := json.MarshalIndent(Addresses{Scenario: r.Scenario.Name, Clone: r.Clone, Remote: r.Remote, Kubeconfig: r.Kubeconfig,
		App: r.AppURL, Staging: r.StagingURL, Targets: r.MetricsTargets, Sink: r.SinkURL}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(r.path("addresses.json"), append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.WriteFile(r.path("README.txt"), []byte(r.readme()), 0o600)
}

func (r *Range) readme() string {
	return fmt.Sprintf(`mayday practice range: %s, %s
%s
It lives as long as the process that serves it. In another terminal:

  cd %s
  mayday                         declare the incident (%s) and walk the 18 steps

  export KUBECONFIG=%s
  kubectl get pods,deployments   what runs (namespace shop; staging is the other)
  kubectl rollout status deployment/app-stable
  git log --oneline --graph --all
  curl -i %s/health
  curl %s                        the messages that were sent

An account that shows the bug: curl -d '{"email":"%s","password":"%s"}' %s/api/login
The prepared fix: %s
The addresses, for programs: %s
`, r.Scenario.Name, r.Scenario.Title, wrap(r.Scenario.Story, 78), r.Clone, r.Scenario.Issue, r.Kubeconfig, r.AppURL, r.SinkURL,
		app.Bare, app.Password, r.AppURL, r.path("fix.patch"), r.path("addresses.json"))
}

// wrap breaks text into lines of at most width.
func wrap(text string, width int) string {
	var b strings.Builder
	n := 0
	for _, word := range strings.Fields(text) {
		switch {
		case n > 0 && n+1+len(word) > width:
			b.WriteByte('\n')
			n = 0
		case n > 0:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += len(word)
	}
	return b.String() + "\n"
}

// target is one group of a file_sd file.
type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// writeTargets replaces the file at once, so that no reader sees half of it. Where
// that fails (a full disk) the old list stays: pods that have gone then show as
// targets that do not answer.
func writeTargets(path string, serving []app.Serving) {
	slices.SortFunc(serving, func(a, b app.Serving) int {
		return strings.Compare(a.Namespace+"/"+a.Pod, b.Namespace+"/"+b.Pod)
	})
	targets := make([]target, 0, len(serving))
	for _, s := range serving {
		// No version here: the app's own metrics carry it.
		targets = append(targets, target{[]string{s.Address}, map[string]string{"namespace": s.Namespace, "pod": s.Pod}})
	}
	b, err := json.MarshalIndent(targets, "", "  ")
	if err != nil {
		return
	}
	next := filepath.Join(filepath.Dir(path), ".targets.json.next")
	if os.WriteFile(next, append(b, '\n'), 0o600) != nil || os.Rename(next, path) != nil {
		_ = os.Remove(next) // the next turn writes it anew
	}
}
