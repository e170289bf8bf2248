"""The operator: from ModelPools, RoutePolicies and Tenants to the published snapshot and their statuses."""
