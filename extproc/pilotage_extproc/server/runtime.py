"""One extproc process: builds every part, follows snapshots, serves, drains.

The order in which a change takes effect matters. New endpoints first get a row and are published to
Envoy; they are picked only once Envoy has acknowledged them, or the publish hold has passed where
no acknowledgement can be seen. The routing index is swapped in one step.
"""
