"""Resource types of Pilotage and the compiler that turns them into a routing snapshot.

Nothing here does I/O: the operator, the standalone runner and the command line all
share these types, so a manifest that works on a laptop works in a cluster.
"""
