{{/*
What a plane, the API server or another installation would refuse later, and what would lack a
right: said by the name of the value, before anything is changed. What one value alone can be wrong
about stands in values.schema.json.
*/}}
{{- define "roadstead.checks" -}}
{{- include "roadstead.checkNamespace" . -}}
{{- include "roadstead.checkVolume" .Values.controlPlane -}}
{{- include "roadstead.checkListeners" .Values.listeners -}}
{{- include "roadstead.checkPorts" . -}}
{{- include "roadstead.checkLease" (.Values.controlPlane.config.lease | default dict) -}}
{{- include "roadstead.checkAcme" (.Values.acme | default dict) -}}
{{- include "roadstead.checkStatus" . -}}
{{- end -}}

{{/* A namespace has one installation. Without a cluster, as in `helm template`, nothing is seen. */}}
{{- define "roadstead.checkNamespace" -}}
{{- $name := include "roadstead.control" . -}}
{{- range (lookup "apps/v1" "StatefulSet" .Release.Namespace "").items -}}
{{- $part := dig "labels" "app.kubernetes.io/part-of" "" .metadata -}}
{{- if and (eq $part "roadstead") (ne .metadata.name $name) -}}
{{- fail (printf "the namespace %s has another installation of Roadstead, the StatefulSet %s: install this one in a namespace of its own" $.Release.Namespace .metadata.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "roadstead.checkVolume" -}}
{{- if eq .volume.kind "existing" -}}
{{- if not .volume.existingClaim -}}
{{- fail "controlPlane.volume.existingClaim: empty, and the volume's kind is existing; name a PersistentVolumeClaim" -}}
{{- end -}}
{{- if gt (int .replicas) 1 -}}
{{- fail "controlPlane.volume.kind: existing is one volume, and each replica needs its own; use claim, or one replica" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "roadstead.checkListeners" -}}
{{- $seen := dict -}}
{{- range $name, $of := . -}}
{{- $at := printf "%s %v" ($of.address | default "::") $of.port -}}
{{- if hasKey $seen $at -}}
{{- fail (printf "listeners.%s: listener %s has the same address and port; give each its own" $name (get $seen $at)) -}}
{{- end -}}
{{- $_ := set $seen $at $name -}}
{{- end -}}
{{- end -}}

{{- define "roadstead.checkPorts" -}}
{{- $service := .Values.dataPlane.service -}}
{{- range $key := list "ports" "nodePorts" -}}
{{- range $name, $_ := get $service $key -}}
{{- if not (hasKey $.Values.listeners $name) -}}
{{- fail (printf "dataPlane.service.%s.%s: no listener has this name; use those of listeners: %s" $key $name (keys $.Values.listeners | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* As control-plane/src/config/lease.rs has it. */}}
{{- define "roadstead.checkLease" -}}
{{- $duration := include "roadstead.milliseconds" (.duration | default "15s") | int -}}
{{- $renew := include "roadstead.milliseconds" (.renewWithin | default "10s") | int -}}
{{- $retry := include "roadstead.milliseconds" (.retry | default "2s") | int -}}
{{- if or (lt $duration 1000) (gt $duration 300000) (mod $duration 1000) -}}
{{- fail (printf "controlPlane.config.lease.duration: %d ms is not whole seconds, or too short or too long; use 1s to 5m" $duration) -}}
{{- end -}}
{{- if or (ge $renew $duration) (eq $renew 0) -}}
{{- fail (printf "controlPlane.config.lease.renewWithin: %d ms is not between 0 and the duration, %d ms; use two thirds of it" $renew $duration) -}}
{{- end -}}
{{- if or (gt (mul 2 $retry) $renew) (lt $retry 100) -}}
{{- fail (printf "controlPlane.config.lease.retry: %d ms is too long for renewWithin, %d ms, or too short; use a fifth of it, and 100ms at least" $retry $renew) -}}
{{- end -}}
{{- end -}}

{{- define "roadstead.checkAcme" -}}
{{- if and . (not .acceptTerms) -}}
{{- fail "acme.acceptTerms: the terms of the CA are not accepted; read them (its directory has their URL), then set it to true; or leave acme empty" -}}
{{- end -}}
{{- with .roots -}}
{{- $from := list -}}
{{- range $key := list "secret" "configMap" "pem" -}}
{{- if get $.roots $key -}}{{- $from = append $from $key -}}{{- end -}}
{{- end -}}
{{- if ne (len $from) 1 -}}
{{- fail (printf "acme.roots: %s, and roots come from one place; set one of secret, configMap, pem" (ternary "nothing is set" (printf "%s are set" (join " and " $from)) (empty $from))) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A time such as 1m30s or 500ms. */}}
{{- define "roadstead.milliseconds" -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+(ms|s|m)" . -1 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $sum = add $sum (mul (trimSuffix $unit . | int) (get (dict "ms" 1 "s" 1000 "m" 60000) $unit)) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{- define "roadstead.checkStatus" -}}
{{- $config := .Values.controlPlane.config -}}
{{- $status := $config.ingressStatus | default dict -}}
{{- $sources := list -}}
{{- range list "addresses" "service" "nodes" -}}
{{- if get $status . -}}{{- $sources = append $sources . -}}{{- end -}}
{{- end -}}
{{- if gt (len $sources) 1 -}}
{{- fail (printf "controlPlane.config.ingressStatus: %s are set, and addresses come from one place; set one of addresses, service, nodes" (join " and " $sources)) -}}
{{- end -}}
{{- if and $sources ($config.beside | default dict).controllers -}}
{{- fail (printf "controlPlane.config.ingressStatus.%s: nothing is written beside another controller, and beside.controllers names one; take it out, or on the day of the cut-over beside.controllers" (first $sources)) -}}
{{- end -}}
{{- with $status.service -}}
{{- $namespace := splitList "/" . | first -}}
{{- $served := $.Values.watch.namespaces -}}
{{- if and $served (ne $namespace $.Release.Namespace) (not (has $namespace $served)) -}}
{{- fail (printf "controlPlane.config.ingressStatus.service: %s is in a namespace of which the control plane may read nothing; name it in watch.namespaces, or a Service of a namespace that is there, or of our own" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
