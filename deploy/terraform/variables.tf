variable "kubeconfig" {
  description = "File with the cluster's address and login."
  type        = string
  default     = "~/.kube/config"
}

variable "context" {
  description = "Which of its contexts; null: the current one."
  type        = string
  default     = null
}

variable "namespace" {
  description = "Namespace that is made for it."
  type        = string
  default     = "monohull"
}

variable "public_url" {
  description = "Address that clients use."
  type        = string
}

variable "host" {
  description = "Host name of the ingress."
  type        = string
}

variable "ingress_class" {
  description = "Class of the ingress."
  type        = string
  default     = ""
}

variable "registry" {
  description = "Registry that the image was pushed to."
  type        = string
}

variable "image_tag" {
  description = "Tag of the image; empty: the chart's own version."
  type        = string
  default     = ""
}

variable "values" {
  description = "Further values of the chart, as YAML."
  type        = string
  default     = "{}"
}

variable "jwt_secret" {
  description = "Signs tokens; 32 characters at least, such as from `openssl rand -base64 48`."
  type        = string
  sensitive   = true

  validation {
    condition     = length(var.jwt_secret) >= 32
    error_message = "It has fewer than 32 characters."
  }
}

variable "database_url" {
  description = "Owner's URL of PostgreSQL."
  type        = string
  sensitive   = true
}

variable "redis_url" {
  description = "URL of Redis, or of its sentinels."
  type        = string
  sensitive   = true
}
