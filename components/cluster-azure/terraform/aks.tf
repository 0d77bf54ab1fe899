resource "azurerm_kubernetes_cluster" "main" {
  name                      = "aks-${local.name}"
  location                  = azurerm_resource_group.main.location
  resource_group_name       = azurerm_resource_group.main.name
  dns_prefix                = "aks-${local.name}"
  kubernetes_version        = var.kubernetes_version
  oidc_issuer_enabled       = true
  workload_identity_enabled = true
  tags                      = var.tags

  # The nodes reach the API server through the NAT gateway.
  api_server_access_profile {
    authorized_ip_ranges = concat(var.allowed_cidr, ["${azurerm_public_ip.nat.ip_address}/32"])
  }

  default_node_pool {
    name                        = "system"
    vm_size                     = var.system_vm_size
    vnet_subnet_id              = azurerm_subnet.aks.id
    auto_scaling_enabled        = true
    min_count                   = 3
    max_count                   = 6
    os_disk_size_gb             = 50
    max_pods                    = 110
    temporary_name_for_rotation = "systemtmp"
    tags                        = var.tags

    upgrade_settings {
      max_surge = "10%"
    }
  }

  identity {
    type = "SystemAssigned"
  }

  network_profile {
    network_plugin    = "azure"
    load_balancer_sku = "standard"
    service_cidr      = "192.168.0.0/16"
    dns_service_ip    = "192.168.0.10"
  }

  # The autoscaler changes how many nodes there are.
  lifecycle {
    ignore_changes = [default_node_pool[0].node_count]
  }

  depends_on = [
    azurerm_subnet_nat_gateway_association.aks,
    azurerm_nat_gateway_public_ip_association.main,
  ]
}

resource "azurerm_kubernetes_cluster_node_pool" "gpu" {
  name                  = "gpu"
  kubernetes_cluster_id = azurerm_kubernetes_cluster.main.id
  vm_size               = var.gpu_vm_size
  vnet_subnet_id        = azurerm_subnet.gpu.id
  auto_scaling_enabled  = true
  min_count             = var.gpu_min
  max_count             = var.gpu_max
  os_disk_size_gb       = 256
  gpu_driver            = "None"
  priority              = var.gpu_priority
  eviction_policy       = var.gpu_priority == "Spot" ? "Delete" : null
  spot_max_price        = var.gpu_priority == "Spot" ? -1 : null
  node_taints           = concat(["nvidia.com/gpu=present:NoSchedule"], local.spot_taints)
  node_labels           = merge({ "nvidia.com/gpu.present" = "true" }, local.spot_labels)
  tags                  = var.tags

  lifecycle {
    ignore_changes = [node_count]
  }

  depends_on = [azurerm_subnet_nat_gateway_association.gpu]
}

# AKS sets both on a Spot pool by itself; unless they stand here, every plan would take them away.
locals {
  spot_taints = var.gpu_priority == "Spot" ? ["kubernetes.azure.com/scalesetpriority=spot:NoSchedule"] : []
  spot_labels = var.gpu_priority == "Spot" ? { "kubernetes.azure.com/scalesetpriority" = "spot" } : {}
}
