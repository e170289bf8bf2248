{{/* Rules of each part; tests hold them against the rights that suffice. */}}

{{/* In the release's namespace. */}}
{{- define "pilotage.rules.operator.own" -}}
# the snapshot and what is kept of resources: objects named by their content
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, create, update, delete]
# one active operator; what each picker runs
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch, create, update, patch]
# on InferencePools, which pickers read here too
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* In each watched namespace. */}}
{{- define "pilotage.rules.operator.watched" -}}
- apiGroups: [pilotage.dev]
  resources: [modelpools]
  verbs: [get, list, watch]
- apiGroups: [pilotage.dev]
  resources: [routepolicies]
  verbs: [get, list, watch]
- apiGroups: [pilotage.dev]
  resources: [tenants]
  verbs: [get, list, watch]
- apiGroups: [pilotage.dev]
  resources: [modelpools/status]
  verbs: [patch]
- apiGroups: [pilotage.dev]
  resources: [routepolicies/status]
  verbs: [patch]
- apiGroups: [pilotage.dev]
  resources: [tenants/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* Only where more than one namespace is watched. */}}
{{- define "pilotage.rules.operator.cluster" -}}
# labels of namespaces, by which pools say who may use them
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
{{- end }}

{{- define "pilotage.rules.extproc.own" -}}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [{{ printf "%s-snapshot" (include "pilotage.fullname" .) | trunc 40 | trimSuffix "-" }}]
  verbs: [list, watch]
# its own report, and where its peers are
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}

{{/* In each namespace of settings.providers.secretNamespaces. */}}
{{- define "pilotage.rules.extproc.providers" -}}
# credentials of hosted providers; RBAC knows no types of Secrets, so pickers could read the others there too
- apiGroups: [""]
  resources: [secrets]
  verbs: [list, watch]
{{- end }}

{{/* In the namespace of API keys, where settings.governance.identity.apiKeys selects Secrets. */}}
{{- define "pilotage.rules.extproc.keys" -}}
# hashes of API keys; RBAC knows no labels, so pickers could read the other Secrets there too
- apiGroups: [""]
  resources: [secrets]
  verbs: [list, watch]
{{- end }}

{{- define "pilotage.rules.extproc.watched" -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [inference.networking.k8s.io]
  resources: [inferencepools]
  verbs: [list, watch]
- apiGroups: [llm-d.ai]
  resources: [inferenceobjectives]
  verbs: [list, watch]
- apiGroups: [inference.networking.x-k8s.io]
  resources: [inferenceobjectives]
  verbs: [list, watch]
{{- end }}
