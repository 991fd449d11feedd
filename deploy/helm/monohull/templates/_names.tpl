{{- define "monohull.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "monohull.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "monohull.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "monohull.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "monohull.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "monohull.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "monohull.secret" -}}
{{- default (include "monohull.fullname" .) .Values.secrets.existing -}}
{{- end -}}

{{- define "monohull.cluster" -}}
{{- printf "%s-db" (include "monohull.fullname" .) -}}
{{- end -}}

{{- define "monohull.redis" -}}
{{- printf "%s-redis" (include "monohull.fullname" .) -}}
{{- end -}}

{{- define "monohull.image" -}}
{{- $name := .Values.image.repository -}}
{{- if .Values.image.registry }}{{- $name = printf "%s/%s" .Values.image.registry $name -}}{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $name .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change. Arguments: the root, the component. */}}
{{- define "monohull.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "monohull.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "monohull.labels" -}}
{{- $root := index . 0 -}}
{{ include "monohull.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}
