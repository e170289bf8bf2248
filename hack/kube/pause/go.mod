module pilotage.dev/hack/kube/pause

go 1.26.0
