{{- define "hapenny.name" -}}
{{- printf "%s" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- define "hapenny.account" -}}
{{- .Values.serviceAccount.name | default (include "hapenny.name" .) -}}
{{- end -}}
{{- define "hapenny.labels" -}}
app.kubernetes.io/name: hapenny
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}
{{- define "hapenny.selector" -}}
app.kubernetes.io/name: hapenny
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
