"""Defects of the fast network beside the pods' own."""

DEFECTS: dict[str, tuple[str, str]] = {
    "nic-attributes-missing": ("1.36", "the network's slices tell neither RDMA nor locality"),
    "nic-bypassed": ("1.36", "data for the fast network goes through the pods' ordinary one"),
    "nic-corrupts": ("1.36", "the fast network changes data on its way"),
    "nic-misplaced": ("1.36", "pods get network devices of nodes they do not run on"),
    "nic-never-allocated": ("1.36", "claims for network devices are never allocated"),
    "nic-no-transfer": ("1.36", "nothing gets through the fast network"),
    "nic-not-attached": ("1.36", "a claim for a network device is allocated but no interface appears"),
    "nic-not-offered": ("1.36", "there is no network beside the pods' own"),
    "nic-other-mechanism": ("1.36", "network interfaces are handed out without claims"),
    "nic-single-node": ("1.36", "a single node is connected to the fast network"),
}
