"""The delivery on one machine: real scripts, image, registry and load; only AWS has stand-ins.

``deploy/rehearse`` runs it. docs/rehearsal.md, its last report, lists the stand-ins.
"""
