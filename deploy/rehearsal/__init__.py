"""The delivery on one machine: real scripts, image, registry and load; stand-ins for AWS alone.

``deploy/rehearse`` runs it; docs/rehearsal.md is its last report. What stands in for what:

=================  ===========================================================================
on AWS             here
=================  ===========================================================================
EC2 instance       network, mount and process namespaces with a copy-on-write root (instances)
CodeDeploy agent   its rules, on the bundle's real appspec.yml and scripts (agent, appspec)
CodeDeploy         moto checks the calls; a stand-in deploys and answers them (codedeploy, aws)
load balancer      haproxy with active checks on ``/`` (balancer)
ECR                docker-registry with a login; moto's token and scan (image_registry, aws)
S3, SSM            moto (aws)
=================  ===========================================================================
"""
