{{/* The GatewaySettings of this release: the values' own, and what only the chart can know. */}}
{{- define "pilotage.settings" -}}
{{- $given := deepCopy .Values.settings }}
{{- $name := include "pilotage.fullname" . }}
{{- $kubernetes := dict "namespace" .Release.Namespace "snapshotName" (printf "%s-snapshot" $name | trunc 40 | trimSuffix "-") "replicaGroup" (printf "%s-extproc" $name | trunc 40 | trimSuffix "-") "owner" (printf "%s-settings" $name) "pickerService" (printf "%s-extproc" $name) }}
{{- $listen := dict "envoyAdmin" "127.0.0.1:9901" }}
{{- range $part, $port := dict "gateway" 8080 "extproc" 9002 "admin" 9003 "envoyProbes" 9902 "operator" 9004 }}
{{- $_ := set $listen $part (printf "%s:%d" ($.Values.listenHost | default "0.0.0.0") $port) }}
{{- end }}
{{- $tls := dict }}
{{- if .Values.envoy.tlsSecret }}
{{- $_ := set $tls "gateway" (dict "certFile" "/etc/pilotage-tls/tls.crt" "keyFile" "/etc/pilotage-tls/tls.key") }}
{{- end }}
{{- if .Values.extproc.selfSignedTls }}
{{- if .Values.settings.peers }}
{{- fail "extproc.selfSignedTls: peers that settings.peers names could not be verified: leave one of the two out" }}
{{- end }}
{{- $_ := set $tls "extproc" "self-signed" }}
{{- end }}
{{- if include "pilotage.mutualTls" . }}
{{- if .Values.extproc.selfSignedTls }}
{{- fail "mutualTls: Envoy could not verify certificates of extproc.selfSignedTls: leave one of the two out" }}
{{- end }}
{{- $pair := dict "certFile" "/etc/pilotage-mutual/tls.crt" "keyFile" "/etc/pilotage-mutual/tls.key" }}
{{- $_ := set $tls "extproc" $pair }}
{{- $_ := set $tls "envoy" (merge (dict "caFile" "/etc/pilotage-mutual/ca.crt" "requireCertificates" .Values.mutualTls.requireCertificates) $pair) }}
{{- end }}
{{- $store := dict }}
{{- if .Values.store.valkeySecret }}
{{- if not (dig "governance" "store" "valkey" "address" "" $given) }}
{{- fail "store.valkeySecret: set settings.governance.store.valkey.address, too" }}
{{- end }}
{{- $_ := set $store "valkey" (dict "passwordFile" "/etc/pilotage-valkey/password") }}
{{- end }}
{{- if .Values.store.journalClaim }}
{{- $_ := set $store "journalDir" "/var/lib/pilotage-journal" }}
{{- else if dig "governance" "store" "journalDir" "" $given }}
{{- fail "settings.governance.store.journalDir: pods write nothing elsewhere; set store.journalClaim instead" }}
{{- end }}
{{- $own := dict "listen" $listen "adminTokenFile" "/etc/pilotage-admin/token" "kubernetes" $kubernetes "tls" $tls }}
{{- $governance := dict }}
{{- if $store }}
{{- $_ := set $governance "store" $store }}
{{- end }}
{{- if .Values.kvSalt.secret }}
{{- if dig "governance" "kvSaltFile" "" $given }}
{{- fail "settings.governance.kvSaltFile: kvSalt names it already: leave one of the two out" }}
{{- end }}
{{- $_ := set $governance "kvSaltFile" (printf "/etc/pilotage-salt/%s" .Values.kvSalt.key) }}
{{- end }}
{{- if $governance }}
{{- $_ := set $own "governance" $governance }}
{{- end }}
{{- if include "pilotage.gainFile" . }}
{{- if dig "promptFeatures" "gainFile" "" .Values.settings }}
{{- fail "settings.promptFeatures.gainFile: gainFile names it already: leave one of the two out" }}
{{- end }}
{{- $_ := set $own "promptFeatures" (dict "gainFile" (printf "/etc/pilotage-gain/%s" .Values.gainFile.key)) }}
{{- end }}
{{- if not $given.namespaces }}
{{- $_ := set $given "namespaces" (list .Release.Namespace) }}
{{- end }}
{{- if not (or .Values.envoy.enabled $given.gateway) }}
{{- $_ := set $given "gateway" "other" }}
{{- end }}
{{- $document := dict "apiVersion" "pilotage.dev/v1alpha1" "kind" "GatewaySettings" "spec" (mergeOverwrite $given $own) }}
{{- toYaml $document }}
{{- end }}

{{/* Whether pickers and Envoy verify each other; empty is no. */}}
{{- define "pilotage.mutualTls" -}}
{{- $both := list .Values.mutualTls.pickerSecret .Values.mutualTls.envoySecret | compact }}
{{- if eq (len $both) 1 }}
{{- fail "mutualTls: set pickerSecret and envoySecret, or neither" }}
{{- end }}
{{- if $both }}yes{{ end }}
{{- end }}

{{/* Where the pickers' own weights are mounted from, as a volume's source; empty is nowhere. */}}
{{- define "pilotage.gainFile" -}}
{{- $own := .Values.gainFile }}
{{- if and $own.configMap $own.secret }}
{{- fail "gainFile: set configMap or secret, not both" }}
{{- end }}
{{- if $own.configMap }}
configMap: {name: {{ $own.configMap }}}
{{- else if $own.secret }}
secret: {secretName: {{ $own.secret }}, defaultMode: 0440}
{{- end }}
{{- end }}

{{/* Namespaces whose resources and pods are read, as a JSON list; ["*"] is all. */}}
{{- define "pilotage.namespaces" -}}
{{- $own := .Values.settings.namespaces | default (list .Release.Namespace) }}
{{- $watched := dig "kubernetes" "watchNamespaces" (list) .Values.settings }}
{{- $all := concat $own $watched | uniq | sortAlpha }}
{{- if has "*" $all }}
{{- toJson (list "*") }}
{{- else }}
{{- toJson $all }}
{{- end }}
{{- end }}
