{{- define "roadstead.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains "roadstead" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-roadstead" (.Release.Name | trunc 30 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "roadstead.control" -}}{{ include "roadstead.name" . }}-control-plane{{- end -}}
{{- define "roadstead.data" -}}{{ include "roadstead.name" . }}-data-plane{{- end -}}
{{/* Of what is in no namespace: two installations must not meet. */}}
{{- define "roadstead.global" -}}{{ include "roadstead.name" . }}-{{ .Release.Namespace }}{{- end -}}
{{- define "roadstead.operator" -}}{{ include "roadstead.name" . }}-operator-{{ .Release.Namespace }}{{- end -}}
{{- define "roadstead.ca" -}}{{ include "roadstead.name" . }}-ca{{- end -}}
{{/* Where the control plane's pods are found; each of them is below it. */}}
{{- define "roadstead.service" -}}{{ include "roadstead.control" . }}.{{ .Release.Namespace }}.svc{{- end -}}

{{/* Of the tokens that the control plane takes. */}}
{{- define "roadstead.audience" -}}{{ dig "access" "audience" "roadstead" .Values.controlPlane.config }}{{- end -}}

{{- define "roadstead.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* Arguments: root, component. */}}
{{- define "roadstead.selector" -}}
app.kubernetes.io/name: roadstead
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "roadstead.labels" -}}
{{ include "roadstead.selector" . }}
app.kubernetes.io/part-of: roadstead
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "roadstead.onHost" -}}
{{- if and (eq .Values.dataPlane.kind "DaemonSet") .Values.dataPlane.hostNetwork }}yes{{ end -}}
{{- end -}}

{{/* Whether proxies open ports that take a right. */}}
{{- define "roadstead.lowPorts" -}}
{{- range .Values.listeners }}{{ if lt (int .port) 1024 }}yes{{ end }}{{ end -}}
{{- end -}}

{{/* The listeners, those for HTTPS with the port by which clients reach them behind a Service. */}}
{{- define "roadstead.listeners" -}}
{{- $behind := eq .Values.dataPlane.kind "Deployment" -}}
{{- $all := dict -}}
{{- range $name, $of := .Values.listeners -}}
{{- $service := $.Values.dataPlane.service -}}
{{- $port := index $service.ports $name -}}
{{- if eq $service.type "NodePort" }}{{ $port = index $service.nodePorts $name | default $port }}{{ end -}}
{{- $of := deepCopy $of -}}
{{- if and $behind (eq ($of.protocol | default "http") "https") $port (not $of.publicPort) -}}
{{- $_ := set $of "publicPort" $port -}}
{{- end -}}
{{- $_ := set $all $name $of -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* The control plane's configuration: what the chart knows, and what the values add. */}}
{{- define "roadstead.controlConfig" -}}
{{- $host := include "roadstead.service" . -}}
{{- $grpc := .Values.controlPlane.ports.grpc -}}
{{- $kubernetes := dict "ownNamespace" .Release.Namespace -}}
{{- with .Values.watch.namespaces }}{{ $_ := set $kubernetes "namespaces" . }}{{ end -}}
{{- with .Values.watch.labelSelector }}{{ $_ := set $kubernetes "labelSelector" . }}{{ end -}}
{{- if ne .Values.watch.secrets "watch" }}{{ $_ := set $kubernetes "secrets" .Values.watch.secrets }}{{ end -}}
{{- $base := dict
  "sources" (dict "kubernetes" $kubernetes)
  "listeners" (fromYaml (include "roadstead.listeners" .))
  "ingressClass" .Values.ingressClass.name
  "statusWrites" .Values.statusWrites
  "dataFolder" "/var/lib/roadstead/control-plane"
  "grpc" (dict
    "address" (printf "%s:%v" .Values.bindAddress $grpc)
    "names" (list $host (printf "*.%s" $host) "localhost"))
  "lease" (dict
    "name" (include "roadstead.control" .)
    "peers" (list (printf "%s:%v" $host $grpc)))
  "access" (dict
    "authoritySecret" (printf "%s-ca" (include "roadstead.control" .))
    "authorityConfigMap" (include "roadstead.ca" .)
    "proxyAccounts" (list (printf "%s/%s" .Release.Namespace (include "roadstead.data" .))))
  "admin" (dict "address" (printf "%s:%v" .Values.bindAddress .Values.controlPlane.ports.admin)) -}}
{{- range $name, $_ := .Values.certificates -}}
{{- $folder := printf "/etc/certificates/%s" $name -}}
{{- $files := dict "certificateFile" (printf "%s/tls.crt" $folder) "keyFile" (printf "%s/tls.key" $folder) -}}
{{- $_ := set $base "certificates" (merge (dict $name $files) ($base.certificates | default dict)) -}}
{{- end -}}
{{- with .Values.acme -}}
{{- $acme := omit . "roots" -}}
{{- with .roots -}}
{{- $_ := set $acme "roots" (ternary "/etc/roadstead/acme-roots.pem" "/etc/acme-roots/ca.pem" (not (empty .pem))) -}}
{{- end -}}
{{- with .dns01 -}}
{{- $zones := list -}}
{{- range $number, $zone := .zones -}}
{{- $of := deepCopy $zone -}}
{{- $file := printf "/etc/acme-keys/dns01-%d" $number -}}
{{- with ($of.rfc2136 | default dict).tsig -}}
{{- $_ := set $of.rfc2136 "tsig" (merge (dict "secretFile" $file) (omit . "secret" "key")) -}}
{{- end -}}
{{- with $of.cloudflare -}}
{{- $_ := set $of "cloudflare" (merge (dict "tokenFile" $file) (omit . "secret" "key")) -}}
{{- end -}}
{{- with $of.route53 -}}
{{- $route53 := omit . "secret" "key" -}}
{{- if .secret }}{{ $_ := set $route53 "credentialsFile" $file }}{{ end -}}
{{- $_ := set $of "route53" $route53 -}}
{{- end -}}
{{- with $of.webhook -}}
{{- $webhook := omit . "secret" "key" "rootsKey" -}}
{{- if .secret }}{{ $_ := set $webhook "authorizationFile" $file }}{{ end -}}
{{- if .rootsKey }}{{ $_ := set $webhook "roots" (printf "%s-roots" $file) }}{{ end -}}
{{- $_ := set $of "webhook" $webhook -}}
{{- end -}}
{{- $zones = append $zones $of -}}
{{- end -}}
{{- $_ := set $acme "dns01" (merge (dict "zones" $zones) .) -}}
{{- end -}}
{{- with .externalAccount -}}
{{- $_ := set $acme "externalAccount" (dict "keyId" .keyId "keyFile" "/etc/acme-keys/external-account") -}}
{{- end -}}
{{- $selector := include "roadstead.selector" (dict "root" $ "component" "data-plane") | fromYaml -}}
{{- $pods := list -}}
{{- range $label, $value := $selector }}{{ $pods = append $pods (printf "%s=%s" $label $value) }}{{ end -}}
{{- $_ := set $acme "proxyPods" (join "," $pods) -}}
{{- $_ := set $base "acme" $acme -}}
{{- end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.controlPlane.config) $base) -}}
{{- end -}}

{{/* Whether the CA's roots are a volume, and not in the file's own ConfigMap. */}}
{{- define "roadstead.acmeVolume" -}}
{{- with (.Values.acme | default dict).roots }}{{ if not .pem }}yes{{ end }}{{ end -}}
{{- end -}}

{{/* The Secrets of an external account and by which the DNS is told, each as the file that the
configuration names. Without one of them all else goes on: they are read whenever they are needed. */}}
{{- define "roadstead.acmeKeys" -}}
{{- with (.Values.acme | default dict).externalAccount }}
- secret: {name: {{ .secret | quote }}, optional: true, items: [{key: {{ .key | default "secret" | quote }}, path: external-account}]}
{{- end -}}
{{- range $number, $zone := ((.Values.acme | default dict).dns01 | default dict).zones -}}
{{- $of := coalesce ($zone.rfc2136 | default dict).tsig $zone.cloudflare $zone.route53 $zone.webhook | default dict -}}
{{- if $of.secret }}
{{- $items := list (dict "key" ($of.key | default "secret") "path" (printf "dns01-%d" $number)) -}}
{{- if $of.rootsKey }}{{ $items = append $items (dict "key" $of.rootsKey "path" (printf "dns01-%d-roots" $number)) }}{{ end }}
- secret: {name: {{ $of.secret | quote }}, optional: true, items: {{ $items | toJson }}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The Secrets with certificates for all namespaces, each as the two files that the configuration
names. */}}
{{- define "roadstead.certificates" -}}
{{- range $name, $of := .Values.certificates }}
{{- $items := list (dict "key" "tls.crt" "path" (printf "%s/tls.crt" $name)) (dict "key" "tls.key" "path" (printf "%s/tls.key" $name)) }}
- secret: {name: {{ $of.secret | quote }}, optional: true, items: {{ $items | toJson }}}
{{- end -}}
{{- end -}}

{{/* Whether the proxies themselves, or their Service, are reached on port 80 by HTTP. */}}
{{- define "roadstead.onPort80" -}}
{{- $behind := eq .Values.dataPlane.kind "Deployment" -}}
{{- range $name, $of := .Values.listeners -}}
{{- $port := $of.port -}}
{{- if $behind }}{{ $port = index $.Values.dataPlane.service.ports $name | default $of.port }}{{ end -}}
{{- if and (eq (int $port) 80) (eq ($of.protocol | default "http") "http") }}yes{{ end -}}
{{- end -}}
{{- end -}}

{{/* Whether anything is written on users' objects: not beside another controller. */}}
{{- define "roadstead.writes" -}}
{{- $beside := .Values.controlPlane.config.beside | default dict -}}
{{- if and .Values.statusWrites (not $beside.controllers) }}yes{{ end -}}
{{- end -}}

{{/* Of the control plane's configuration what is read once: config.rs says which keys are not. */}}
{{- define "roadstead.lasting" -}}
{{- $of := omit . "listeners" "ingressClass" "certificates" "beside" "hostOwnership" "redirectToHttps" "allowLocalExternalNames" "deletionGuard" "log" -}}
{{- $_ := set $of "log" (omit (.log | default dict) "level") -}}
{{- with .acme }}{{ $_ := set $of "acme" (omit . "onlyFor" "namespaces") }}{{ end -}}
{{- toYaml $of -}}
{{- end -}}

{{/* The same of a proxy's. */}}
{{- define "roadstead.dataLasting" -}}
{{- $of := omit . "acceptLineage" "log" -}}
{{- $_ := set $of "log" (omit (.log | default dict) "level") -}}
{{- toYaml $of -}}
{{- end -}}

{{- define "roadstead.dataConfig" -}}
{{- $base := dict
  "controlPlane" (dict
    "addresses" (list (printf "https://%s:%v" (include "roadstead.service" .) .Values.controlPlane.ports.grpc))
    "caFile" "/etc/roadstead/ca/ca.pem"
    "tokenFile" "/var/run/secrets/roadstead/token"
    "certificateFolder" "/run/roadstead/data-plane")
  "keysFolder" "/run/roadstead/data-plane/keys"
  "stateFolder" "/var/lib/roadstead/data-plane" -}}
{{- if include "roadstead.onHost" . -}}
{{- $_ := set $base "handoverSocket" "/run/roadstead/data-plane/handover.sock" -}}
{{- $_ := set $base "admin" (dict "socket" "/run/pod/admin.sock") -}}
{{- end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.dataPlane.config) $base) -}}
{{- end -}}

{{/* One probe. Arguments: about (livez or readyz), port; instead of the port: socket of a proxy. */}}
{{- define "roadstead.probe" -}}
{{- if .socket -}}
exec: {command: [/bin/roadstead-data-plane, probe, {{ .socket }}, {{ .about }}]}
{{- else -}}
httpGet: {path: /{{ .about }}, port: {{ .port }}}
{{- end -}}
{{- end -}}

{{/* Probes. Arguments: port, socket (may be empty). */}}
{{- define "roadstead.probes" -}}
startupProbe:
  {{ include "roadstead.probe" (merge (dict "about" "livez") .) }}
  periodSeconds: 2
  timeoutSeconds: 5
  # A log that another process has is waited for, a long one takes a second.
  failureThreshold: 60
livenessProbe:
  {{ include "roadstead.probe" (merge (dict "about" "livez") .) }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  {{ include "roadstead.probe" (merge (dict "about" "readyz") .) }}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}

{{/* Where and before whom pods run. Arguments: root, values (of the plane). */}}
{{- define "roadstead.scheduling" -}}
{{- $made := ternary (include "roadstead.global" .root) "" .root.Values.priorityClass.create }}
{{- with .values.priorityClassName | default $made }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
