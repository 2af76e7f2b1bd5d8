package kubetest

import "fmt"

// VirtualService is YAML of Istio's route "app", which shares the traffic out between the
// Services app-stable and app-canary, in percent.
func VirtualService(stable, canary int) string {
	return fmt.Sprintf(`---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app}
spec:
  hosts: [app]
  http:
  - route:
    - {destination: {host: app-stable}, weight: %d}
    - {destination: {host: app-canary}, weight: %d}
`, stable, canary)
}

// HTTPRoute is the same by the Gateway API, of the Gateway "gateway".
func HTTPRoute(stable, canary int) string {
	return fmt.Sprintf(`---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: app}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - backendRefs:
    - {name: app-stable, port: 80, weight: %d}
    - {name: app-canary, port: 80, weight: %d}
`, stable, canary)
}
