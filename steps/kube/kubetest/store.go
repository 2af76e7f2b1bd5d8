package kubetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
)

// Store writes an object into the API server's storage past its validation, as an older
// release left it there: "validatingwebhookconfigurations/old" by the path below
// /registry/. It needs all that the API server fills in: apiVersion, kind, name, uid.
func (c *Cluster) Store(t testing.TB, path string, o runtime.Object) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callTime)
	defer cancel()
	if err := c.store(ctx, path, o); err != nil {
		t.Fatalf("store %s: %v", path, err)
	}
}

// store speaks etcd's JSON gateway.
func (c *Cluster) store(ctx context.Context, path string, o runtime.Object) error {
	value, err := json.Marshal(o)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string][]byte{"key": []byte("/registry/" + path), "value": value})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/v3/kv/put", c.ports[0].number), bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body) // its status says enough
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	return nil
}
