SUMMARY = "A network tap: read-only root, and a data partition for what it learns"
DESCRIPTION = "Boots into tapguard. The root file system is never written; baseline, alerts and settings made over \
               HTTP are on a partition of their own, mounted at /var/lib/tapguard."
LICENSE = "Apache-2.0"

IMAGE_FEATURES += "read-only-rootfs ssh-server-dropbear"

inherit core-image features_check

REQUIRED_DISTRO_FEATURES = "systemd"

IMAGE_INSTALL:append = " tapguard-appliance"

IMAGE_FSTYPES = "wic.bz2 wic.bmap"
WKS_FILE = "tapguard.wks.in"
# In megabytes. The store's quota in appliance.toml has to fit.
TAPGUARD_DATA_SIZE ?= "1024"
# The disk that the board boots from, as the kernel names it.
TAPGUARD_DISK ?= "mmcblk0"
