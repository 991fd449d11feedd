{{/* What the pods of all components have in common. */}}

{{- define "monohull.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "monohull.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Settings of every process. Secrets are paths of files. Arguments: the root, whether the pooler is used. */}}
{{- define "monohull.env" -}}
{{- $root := index . 0 -}}
- {name: MONOHULL_ENV, value: production}
- {name: MONOHULL_HOST, value: "0.0.0.0"}
- {name: MONOHULL_PORT, value: "8000"}
- {name: MONOHULL_PUBLIC_URL, value: {{ $root.Values.publicUrl | quote }}}
- {name: MONOHULL_METRICS_PORT, value: {{ $root.Values.metrics.port | quote }}}
- {name: MONOHULL_DRAIN_SECONDS, value: {{ $root.Values.drainSeconds | quote }}}
- {name: MONOHULL_JWT_SECRET_FILE, value: /run/secrets/monohull/jwt_secret}
- {name: MONOHULL_DATABASE_URL_FILE, value: {{ index . 1 | ternary "/run/monohull/database_url" "/run/secrets/monohull/database_url" }}}
- {name: MONOHULL_REDIS_URL_FILE, value: /run/secrets/monohull/redis_url}
{{- with $root.Values.traces.endpoint }}
- {name: MONOHULL_OTLP_ENDPOINT, value: {{ . | quote }}}
- {name: MONOHULL_OTLP_SAMPLE_RATIO, value: {{ $root.Values.traces.sampleRatio | quote }}}
{{- end }}
{{- range $root.Values.secrets.files }}
- {name: {{ .setting }}_FILE, value: /run/secrets/monohull/{{ .setting | lower }}}
{{- end }}
{{- range $name, $value := $root.Values.settings }}
{{- /* a large whole number would else be written as 2e+07 */}}
{{- if and (kindIs "float64" $value) (eq (floor $value) (float64 $value)) }}{{ $value = int64 $value }}{{ end }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}

{{/* Port of an address: the one that is written there, or the scheme's. */}}
{{- define "monohull.collectorPort" -}}
{{- $host := (urlParse .).host -}}
{{- if regexMatch ":[0-9]+$" $host -}}
{{- regexFind "[0-9]+$" $host -}}
{{- else -}}
{{- hasPrefix "https:" . | ternary "443" "80" -}}
{{- end -}}
{{- end -}}

{{- define "monohull.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: secrets, mountPath: /run/secrets/monohull, readOnly: true}
{{- if .Values.project.configMap }}
- {name: project, mountPath: /project, readOnly: true}
{{- end }}
{{- if .Values.project.migrationsConfigMap }}
- {name: migrations, mountPath: /project/migrations, readOnly: true}
{{- end }}
{{- end -}}

{{- define "monohull.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ include "monohull.secret" . }}
          items:
            - {key: {{ .Values.secrets.keys.jwtSecret }}, path: jwt_secret}
            {{- if eq .Values.database.mode "external" }}
            - {key: {{ .Values.secrets.keys.databaseUrl }}, path: database_url}
            {{- end }}
            {{- if eq .Values.redis.mode "external" }}
            - {key: {{ .Values.secrets.keys.redisUrl }}, path: redis_url}
            {{- end }}
      {{- if eq .Values.database.mode "cloudnativepg" }}
      - secret:
          name: {{ include "monohull.cluster" . }}-app
          items:
            - {key: uri, path: database_url}
      {{- end }}
      {{- if eq .Values.redis.mode "operator" }}
      - secret:
          name: {{ include "monohull.redis" . }}
          items:
            - {key: url, path: redis_url}
      {{- end }}
      {{- range .Values.secrets.files }}
      - secret:
          name: {{ .secret }}
          items:
            - {key: {{ .key }}, path: {{ .setting | lower }}}
      {{- end }}
{{- with .Values.project.configMap }}
- name: project
  configMap: {name: {{ . }}}
{{- end }}
{{- with .Values.project.migrationsConfigMap }}
- name: migrations
  configMap: {name: {{ . }}}
{{- end }}
{{- end -}}

{{/* Arguments: the root, the component's values, its name. */}}
{{- define "monohull.placement" -}}
{{- $root := index . 0 -}}{{- $own := index . 1 -}}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $own.spread.enabled }}
topologySpreadConstraints:
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: {{ $own.spread.whenUnsatisfiable }}
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels: {{- include "monohull.selector" (list $root (index $ 2)) | nindent 8 }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "monohull.usesPooler" -}}
{{- if and (eq .Values.database.mode "cloudnativepg") .Values.database.cloudnativepg.pooler.enabled }}yes{{ end -}}
{{- end -}}

{{/* The operator's Secret names the server; this writes the same URL with the pooler in its place. */}}
{{- define "monohull.poolerInit" -}}
- name: database-url
  image: {{ include "monohull.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command:
    - python3
    - -c
    - |
      import os, sys, urllib.parse
      url = urllib.parse.urlsplit(open("/run/secrets/monohull/database_url").read().strip())
      login = url.netloc.rpartition("@")[0]
      os.umask(0o077)
      with open("/run/monohull/database_url", "w") as file:
          file.write(urllib.parse.urlunsplit(url._replace(netloc=f"{login}@{sys.argv[1]}:5432")))
    - {{ include "monohull.cluster" . }}-pooler
  securityContext: {{- include "monohull.containerSecurity" . | nindent 4 }}
  resources:
    requests: {cpu: 50m, memory: 64Mi}
    limits: {cpu: 500m, memory: 64Mi}
  volumeMounts:
    - {name: secrets, mountPath: /run/secrets/monohull, readOnly: true}
    - {name: own, mountPath: /run/monohull}
{{- end -}}
