"""Reaching a vendor's cluster safely: kubeconfig, address guard, connection and rights."""
