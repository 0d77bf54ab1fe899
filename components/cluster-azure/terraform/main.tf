data "azurerm_client_config" "current" {}

locals {
  name       = "${var.resource_prefix}-${var.environment}"
  short_name = "${var.resource_prefix}${var.environment}"

  # Index 0 stays free.
  subnet_bits = 20 - tonumber(split("/", var.vnet_address_space)[1])
  subnets = {
    aks               = cidrsubnet(var.vnet_address_space, local.subnet_bits, 1)
    gpu               = cidrsubnet(var.vnet_address_space, local.subnet_bits, 2)
    database          = cidrsubnet(var.vnet_address_space, local.subnet_bits, 3)
    private_endpoints = cidrsubnet(var.vnet_address_space, local.subnet_bits, 4)
  }
}

resource "azurerm_resource_group" "main" {
  name     = "rg-${local.name}"
  location = var.location
  tags     = var.tags
}

resource "random_string" "suffix" {
  length  = 5
  lower   = true
  numeric = true
  upper   = false
  special = false
}

resource "random_password" "postgres" {
  length  = 32
  special = false
}
