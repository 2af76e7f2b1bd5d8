package main

// The custom resource definitions are files of these modules; importing a
// package of each keeps their versions in go.mod.
import (
	_ "istio.io/api/annotation"
	_ "sigs.k8s.io/gateway-api/pkg/consts"
)
