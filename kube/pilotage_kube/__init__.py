"""Talking to a Kubernetes API server: client, informer, Lease, snapshot store, replica reports.

What the operator, extproc and the command line share. Imports only `pilotage_api`.
"""
