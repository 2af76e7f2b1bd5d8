package kube

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestNewPodsAreNoStrangers: a pod that a controller makes while a plan looks is as much
// its Deployment's as those before; one that somebody else made is not.
func TestNewPodsAreNoStrangers(t *testing.T) {
	looks := 0 // each look at the pods finds one more, made by one more ReplicaSet
	many := func(kind, item string) string {
		var items []string
		for i := range looks {
			items = append(items, strings.ReplaceAll(item, "N", fmt.Sprint(i)))
		}
		return `{"apiVersion":"v1","kind":"` + kind + `List","items":[` + strings.Join(items, ",") + `]}`
	}
	owned := func(by, uid string) string {
		return `"ownerReferences":[{"apiVersion":"apps/v1","kind":"` + by + `","name":"x","uid":"` + uid + `","controller":true}]`
	}
	foreign := ""
	c := clusterOf(t, func(r *http.Request) (int, string) {
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, "/pods"):
			looks++
			list := many("Pod", `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"app-N","uid":"podN",`+owned("ReplicaSet", "setN")+`}}`)
			return http.StatusOK, strings.Replace(list, "[{", "["+foreign+"{", 1)
		case strings.HasSuffix(path, "/replicasets"):
			return http.StatusOK, many("ReplicaSet", `{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"app-N","uid":"setN",`+owned("Deployment", "d")+`}}`)
		}
		return http.StatusOK, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"app","namespace":"shop","uid":"d"},"spec":{"selector":{"matchLabels":{"app":"app"}}}}`
	})
	selector := map[string]string{"app": "app"}
	if got, err := c.strangers(t.Context(), deployment("shop", "app"), selector); err != nil || len(got) > 0 {
		t.Errorf("strangers %q, %v", got, err)
	}
	foreign = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"by-hand","uid":"h"}},{"apiVersion":"v1","kind":"Pod","metadata":{"name":"other","uid":"o",` + owned("ReplicaSet", "other") + `}},`
	if got, err := c.strangers(t.Context(), deployment("shop", "app"), selector); err != nil || !slices.Equal(got, []string{"by-hand", "other"}) {
		t.Errorf("strangers %q, %v", got, err)
	}
}
