package rollout

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"mayday/state"
)

// Config reads how a cluster is reached, as kubectl does: from kubeconfig, or from
// KUBECONFIG and ~/.kube/config where that is empty; context is the current one
// where empty. It never asks anybody anything: a credential plugin gets no
// terminal. What is wrong is a *state.Problem with code "kubeconfig".
func Config(kubeconfig, context string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	over := &clientcmd.ConfigOverrides{CurrentContext: context}
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, over).ClientConfig()
	if err != nil {
		return nil, badConfig(kubeconfig, context, err)
	}
	if e := cfg.ExecProvider; e != nil {
		if e.InteractiveMode == clientcmdapi.AlwaysExecInteractiveMode {
			return nil, &state.Problem{
				What: fmt.Sprintf("the credential plugin %q wants a terminal", e.Command),
				Why:  "mayday runs it without one, so that it cannot stop an incident with a prompt",
				Do:   "Log in first, or set interactiveMode to IfAvailable in the kubeconfig", Code: "kubeconfig",
			}
		}
		e.InteractiveMode = clientcmdapi.NeverExecInteractiveMode
		e.StdinUnavailable = true
		e.StdinUnavailableMessage = "mayday gives plugins no terminal"
	}
	return cfg, nil
}

func badConfig(kubeconfig, context string, err error) error {
	p := &state.Problem{What: "the kubeconfig cannot be used", Why: state.Clean(err.Error()), Code: "kubeconfig"}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.What, p.Do = "there is no kubeconfig at "+kubeconfig, "Correct the environment's kubeconfig in the runbook"
	case clientcmd.IsContextNotFound(err), strings.Contains(err.Error(), fmt.Sprintf("context %q does not exist", context)):
		p.Do = fmt.Sprintf("Correct the environment's context %q in the runbook: kubectl config get-contexts lists them", context)
	case clientcmd.IsEmptyConfig(err):
		p.Do = "Set KUBECONFIG, or the environment's kubeconfig in the runbook"
	}
	return p
}
