output "resource_group" {
  value = azurerm_resource_group.main.name
}

output "aks_name" {
  value = azurerm_kubernetes_cluster.main.name
}

output "location" {
  value = azurerm_resource_group.main.location
}

output "pg_fqdn" {
  value = azurerm_postgresql_flexible_server.main.fqdn
}

output "pg_admin_user" {
  value = azurerm_postgresql_flexible_server.main.administrator_login
}

output "pg_admin_password" {
  value     = random_password.postgres.result
  sensitive = true
}

output "pg_database" {
  value = azurerm_postgresql_flexible_server_database.osmo.name
}

output "redis_hostname" {
  value = azurerm_managed_redis.main.hostname
}

output "redis_port" {
  value = azurerm_managed_redis.main.default_database[0].port
}

output "redis_primary_key" {
  value     = azurerm_managed_redis.main.default_database[0].primary_access_key
  sensitive = true
}

output "storage_account" {
  value = azurerm_storage_account.main.name
}

output "storage_account_key" {
  value     = azurerm_storage_account.main.primary_access_key
  sensitive = true
}

output "nfs_storage_account" {
  value = azurerm_storage_account.nfs.name
}

output "foundry_resource" {
  value = azurerm_cognitive_account.foundry.name
}

output "foundry_project" {
  value = azurerm_cognitive_account_project.main.name
}

output "foundry_endpoint" {
  value = azurerm_cognitive_account.foundry.endpoint
}

output "key_vault_name" {
  value = azurerm_key_vault.main.name
}

output "log_analytics_workspace_id" {
  value = azurerm_log_analytics_workspace.main.id
}

output "nat_ip" {
  value = azurerm_public_ip.nat.ip_address
}
