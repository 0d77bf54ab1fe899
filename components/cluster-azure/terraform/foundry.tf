# Models are deployments of the account (az cognitiveservices account deployment); a machine learning
# workspace, which serverless endpoints would need, is not part of this.
resource "azurerm_cognitive_account" "foundry" {
  name                       = "ai-${local.name}-${random_string.suffix.result}"
  location                   = azurerm_resource_group.main.location
  resource_group_name        = azurerm_resource_group.main.name
  kind                       = "AIServices"
  sku_name                   = "S0"
  custom_subdomain_name      = "ai-${local.name}-${random_string.suffix.result}"
  project_management_enabled = true
  tags                       = var.tags

  identity {
    type = "SystemAssigned"
  }
}

resource "azurerm_cognitive_account_project" "main" {
  name                 = "${var.resource_prefix}-project"
  cognitive_account_id = azurerm_cognitive_account.foundry.id
  location             = azurerm_resource_group.main.location
  tags                 = var.tags

  identity {
    type = "SystemAssigned"
  }
}
