"""Defects of what is to keep untrusted workloads from their node."""

DEFECTS: dict[str, tuple[str, str]] = {
    "agent-sandboxes": ("1.37", "no defect: sandboxes are an API of their own instead of a runtime class"),
    "agent-sandboxes-idle": ("1.37", "sandboxes can be asked for by an API of their own that makes none"),
    "sandbox-fakes-release": ("1.37", "the sandbox names another kernel but runs on the node's"),
    "sandbox-handler-missing": ("1.37", "the nodes do not know the sandbox's handler"),
    "sandbox-host-interfaces": ("1.37", "the sandbox shows the links of other pods"),
    "sandbox-host-memory": ("1.37", "the sandbox shows the node's memory"),
    "sandbox-host-mounts": ("1.37", "the sandbox shows the node's files"),
    "sandbox-host-network": ("1.37", "the sandbox has the node's own address"),
    "sandbox-host-processes": ("1.37", "the sandbox shows the node's processes"),
    "sandbox-not-offered": ("1.37", "there is no sandbox"),
    "sandbox-refused": ("1.37", "a policy turns away pods that ask for the sandbox"),
    "sandbox-shared-kernel": ("1.37", "the sandbox runs on the node's kernel like any container"),
    "sandbox-unrecognised": ("1.37", "there is a sandbox of a kind nobody knows"),
}
