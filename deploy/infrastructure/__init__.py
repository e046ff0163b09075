"""The program behind ``deploy/aws``: makes, shows and removes what the service needs in AWS.

CloudFormation owns all that keeps still (``deploy/cloudformation/``). CodeDeploy replaces the Auto
Scaling group in each deployment, so that this package makes and finds it, and its deployment group.
"""
