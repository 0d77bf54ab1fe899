variable "subscription_id" {
  type        = string
  description = "Subscription that everything is made in."

  validation {
    condition     = can(regex("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", var.subscription_id))
    error_message = "subscription_id must be the id of a subscription."
  }
}

variable "location" {
  type        = string
  default     = "eastus2"
  description = "Azure region."
}

variable "resource_prefix" {
  type        = string
  default     = "nvpai"
  description = "Beginning of every name: lower-case letters and digits."

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*$", var.resource_prefix))
    error_message = "resource_prefix must be lower-case letters and digits, a letter first."
  }
}

variable "environment" {
  type        = string
  default     = "dev"
  description = "dev, staging or prod."

  validation {
    condition     = contains(["dev", "staging", "prod"], var.environment)
    error_message = "environment must be dev, staging or prod."
  }

  # stnfs<prefix><env><5> has at most 24 characters, kv-<prefix>-<env>-<5> as well.
  validation {
    condition     = length(var.resource_prefix) + length(var.environment) <= 14
    error_message = "resource_prefix and environment together have at most 14 characters."
  }
}

variable "vnet_address_space" {
  type        = string
  default     = "10.0.0.0/16"
  description = "Network of the deployment, split into /20: AKS 1, GPU 2, database 3, private endpoints 4."

  validation {
    condition     = can(cidrhost(var.vnet_address_space, 0)) && try(tonumber(split("/", var.vnet_address_space)[1]) <= 17, false)
    error_message = "vnet_address_space must be a CIDR of /17 or larger, so that it holds five /20."
  }
}

variable "allowed_cidr" {
  type        = list(string)
  description = "Networks from which the API server and the storage account may be reached."

  validation {
    condition     = length(var.allowed_cidr) > 0 && alltrue([for c in var.allowed_cidr : can(cidrhost(c, 0))])
    error_message = "allowed_cidr must be a list of at least one CIDR."
  }

  validation {
    condition     = alltrue([for c in var.allowed_cidr : try(tonumber(split("/", c)[1]) > 0, false)])
    error_message = "allowed_cidr must not open the cluster to everybody."
  }
}

variable "system_vm_size" {
  type        = string
  default     = "Standard_D16ds_v5"
  description = "Size of the system pool's nodes; 8 vCPUs are too few."
}

variable "kubernetes_version" {
  type        = string
  default     = "1.33"
  description = "Kubernetes minor version that AKS offers in the region."
}

variable "gpu_vm_size" {
  type        = string
  default     = "Standard_NC40ads_H100_v5"
  description = "Size of the GPU pool's nodes: 40 vCPUs, 320 GiB and one H100 NVL by default."
}

variable "gpu_priority" {
  type        = string
  default     = "Regular"
  description = "Regular or Spot. AKS taints Spot nodes with kubernetes.azure.com/scalesetpriority=spot:NoSchedule."

  validation {
    condition     = contains(["Regular", "Spot"], var.gpu_priority)
    error_message = "gpu_priority must be Regular or Spot."
  }
}

variable "gpu_min" {
  type        = number
  default     = 4
  description = "Fewest GPU nodes."
}

variable "gpu_max" {
  type        = number
  default     = 4
  description = "Most GPU nodes."

  validation {
    condition     = var.gpu_max >= var.gpu_min && var.gpu_max >= 1
    error_message = "gpu_max must be at least 1 and at least gpu_min."
  }
}

variable "pg_sku" {
  type        = string
  default     = "GP_Standard_D2s_v3"
  description = "Size of the PostgreSQL server."
}

variable "pg_storage_mb" {
  type        = number
  default     = 32768
  description = "Storage of the PostgreSQL server in MiB."
}

variable "pg_version" {
  type        = string
  default     = "16"
  description = "PostgreSQL major version."
}

variable "redis_sku" {
  type        = string
  default     = "Balanced_B1"
  description = "Size of Managed Redis. Balanced_B* often has no capacity in eastus2; ComputeOptimized_X3 does."
}

variable "tags" {
  type = map(string)
  default = {
    project      = "nvpai"
    "managed-by" = "terraform"
  }
  description = "Tags of every resource."
}
