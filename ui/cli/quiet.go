package cli

import (
	"io"

	"k8s.io/klog/v2"
)

// silenceClients keeps client-go's own log off the screen: what matters of it comes
// back as errors and verdicts.
func silenceClients() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
}
