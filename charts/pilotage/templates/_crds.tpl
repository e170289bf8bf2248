{{/*
With Helm 4 CRDs are applied by hooks: they belong to no release, so that several gateways share them, and a
rollback, which only looks at what belongs to a release, keeps the newer ones. Helm 3 cannot apply what exists by
a hook: there, and where a release has them already, they belong to the release.
*/}}

{{/* The CRD in the cluster, if there is one that can be seen: {root, name}, as JSON. */}}
{{- define "pilotage.crd.present" -}}
{{- lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" .name | toJson }}
{{- end }}

{{/* Not empty where the CRD is to be applied: an older chart leaves a newer one alone. */}}
{{- define "pilotage.crd.wanted" -}}
{{- if .root.Values.crds.install }}
{{- $present := include "pilotage.crd.present" . | fromJson }}
{{- $version := dig "metadata" "annotations" "pilotage.dev/chart-version" "0.0.0" $present }}
{{- if not (semverCompare (printf ">%s" .root.Chart.Version) $version) }}yes{{ end }}
{{- end }}
{{- end }}

{{- define "pilotage.crd.annotations" -}}
helm.sh/resource-policy: keep
pilotage.dev/chart-version: {{ .root.Chart.Version | quote }}
{{- $present := include "pilotage.crd.present" . | fromJson }}
{{- $owner := dig "metadata" "annotations" "meta.helm.sh/release-name" "" $present }}
{{- if and (not $owner) (semverCompare ">=4.0.0-0" .root.Capabilities.HelmVersion.Version) }}
helm.sh/hook: pre-install,pre-upgrade
{{- end }}
{{- end }}
