{{/* What a schema cannot say: values that do not fit each other. Included by the API's deployment. */}}
{{- define "monohull.checks" -}}
{{- if not .Values.publicUrl -}}
{{- fail "publicUrl is not set: it is the address that clients use, such as https://api.example.com" -}}
{{- end -}}
{{- if and (eq .Values.database.mode "external") (not .Values.secrets.existing) (not .Values.database.external.url) -}}
{{- fail "no database: set secrets.existing to a Secret with the key database-url, or database.mode to cloudnativepg, or for a trial database.external.url" -}}
{{- end -}}
{{- if and (eq .Values.redis.mode "external") (not .Values.secrets.existing) (not .Values.redis.external.url) -}}
{{- fail "no Redis: set secrets.existing to a Secret with the key redis-url, or redis.mode to operator, or for a trial redis.external.url" -}}
{{- end -}}
{{- if and .Values.secrets.existing (or .Values.database.external.url .Values.redis.external.url) -}}
{{- fail "secrets.existing and a url are both set: put the URLs into that Secret" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.host is not set" -}}
{{- end -}}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) -}}
{{- fail "gateway.parentRefs is empty: name the Gateway that the route is attached to" -}}
{{- end -}}
{{- range $name := list "MONOHULL_ENV" "MONOHULL_HOST" "MONOHULL_PORT" "MONOHULL_PUBLIC_URL" "MONOHULL_METRICS_PORT" "MONOHULL_DRAIN_SECONDS" "MONOHULL_LAME_DUCK_SECONDS" "MONOHULL_WORKER_HEALTH_PORT" "MONOHULL_WORKER_CONCURRENCY" "MONOHULL_WORKER_QUEUES" -}}
{{- if hasKey $.Values.settings $name -}}
{{- fail (printf "settings.%s is the chart's to set: there is a value for it, or the chart depends on it" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
