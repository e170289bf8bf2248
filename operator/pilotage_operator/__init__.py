"""The operator: turns ModelPool and RoutePolicy resources into the published snapshot and their statuses."""
