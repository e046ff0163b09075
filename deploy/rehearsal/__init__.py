"""The delivery on one machine: real scripts, image, registry and load; stand-ins for AWS alone.

``deploy/rehearse`` runs it. docs/rehearsal.md, its last report, tells what stands in for what.
"""
