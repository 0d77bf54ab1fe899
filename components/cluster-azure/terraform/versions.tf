# azurerm_managed_redis first appeared in azurerm 4.50.0 (2025-10-23). `terraform init` keeps the
# exact versions in .terraform.lock.hcl beside the state; it stays with the deployment.
terraform {
  required_version = ">= 1.9.8, < 2.0.0"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = ">= 4.50.0, < 5.0.0"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.6"
    }
  }
}

provider "azurerm" {
  subscription_id                 = var.subscription_id
  resource_provider_registrations = "none"

  features {
    key_vault {
      purge_soft_delete_on_destroy = false
    }
  }
}
