# Installs the chart from this repository into a cluster, with its secrets in a Secret of its own.
#
#   terraform init && terraform apply -var public_url=https://api.example.com -var-file=secrets.tfvars

terraform {
  required_version = ">= 1.6"

  required_providers {
    helm = {
      source  = "hashicorp/helm"
      version = "~> 3.0"
    }
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = "~> 2.38"
    }
  }
}

provider "kubernetes" {
  config_path    = var.kubeconfig
  config_context = var.context
}

provider "helm" {
  kubernetes = {
    config_path    = var.kubeconfig
    config_context = var.context
  }
}

resource "kubernetes_namespace_v1" "monohull" {
  metadata {
    name = var.namespace
    labels = {
      "pod-security.kubernetes.io/enforce" = "restricted"
    }
  }
}

resource "kubernetes_secret_v1" "monohull" {
  metadata {
    name      = "monohull-secrets"
    namespace = kubernetes_namespace_v1.monohull.metadata[0].name
  }

  data = {
    "jwt-secret"   = var.jwt_secret
    "database-url" = var.database_url
    "redis-url"    = var.redis_url
  }
}

resource "helm_release" "monohull" {
  name      = "monohull"
  namespace = kubernetes_namespace_v1.monohull.metadata[0].name
  chart     = "${path.module}/../helm/monohull"
  timeout   = 900
  wait      = true

  values = [
    yamlencode({
      publicUrl = var.public_url
      image     = { registry = var.registry, tag = var.image_tag }
      secrets   = { existing = kubernetes_secret_v1.monohull.metadata[0].name }
      ingress   = { enabled = true, className = var.ingress_class, host = var.host }
    }),
    var.values,
  ]
}
