{{/* Rules of each part; tests hold them against the rights that suffice. */}}

{{- define "pilotage.rules.operator.own" -}}
# the snapshot: objects named by their content
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, create, update, delete]
# one active operator; what each picker runs
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch, create, update]
{{- end }}

{{- define "pilotage.rules.operator.watched" -}}
- apiGroups: [pilotage.dev]
  resources: [modelpools, routepolicies]
  verbs: [get, list, watch]
- apiGroups: [pilotage.dev]
  resources: [modelpools/status, routepolicies/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
- apiGroups: [inference.networking.k8s.io]
  resources: [inferencepools]
  verbs: [get, list, watch]
- apiGroups: [inference.networking.x-k8s.io]
  resources: [inferenceobjectives]
  verbs: [get, list, watch]
{{- end }}

{{- define "pilotage.rules.operator.cluster" -}}
# labels of namespaces, which allowedNamespaces selects by
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
{{- end }}

{{- define "pilotage.rules.extproc.own" -}}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [{{ printf "%s-snapshot" (include "pilotage.fullname" .) | trunc 40 | trimSuffix "-" }}]
  verbs: [list, watch]
# its own report
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create, patch, delete]
{{- end }}

{{- define "pilotage.rules.extproc.watched" -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- end }}
