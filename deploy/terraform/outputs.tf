output "url" {
  description = "Address that clients use."
  value       = var.public_url
}

output "revision" {
  description = "Revision of the release."
  value       = helm_release.monohull.metadata.revision
}
