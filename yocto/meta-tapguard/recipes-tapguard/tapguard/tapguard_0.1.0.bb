SUMMARY = "Network-tap daemon that raises few, explained alerts"
SUMMARY:${PN}-appliance = "Settings of tapguard for a device that does nothing else"
DESCRIPTION = "tapguard listens on a mirrored switch port, learns what is normal there, and raises few, explained \
               alerts when something is not: on a status page, through an HTTP API, and over MQTT."
HOMEPAGE = "https://tapguard.example/"
SECTION = "net"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

DEPENDS = "libpcap"

# The repository around this layer, at what is checked out and committed there. An image that must be built again years
# later names a server and a commit in a .bbappend.
TAPGUARD_REPOSITORY ?= "${@os.path.normpath('${THISDIR}/../../../..')}"
SRC_URI = "git://${TAPGUARD_REPOSITORY};protocol=file;usehead=1;nobranch=1;destsuffix=${BP} \
           file://appliance.toml \
           "
SRCREV = "${AUTOREV}"

require ${BPN}-crates.inc

inherit cargo pkgconfig systemd useradd

# All C of 32-bit ARM systems has 64 bits of time since release 4.2, libpcap too; Rust's libc only when it is told to.
# Without this, live frames come with times and lengths that are garbage. The class puts the flags between double quotes.
def time64_flags(d):
    if d.getVar("TARGET_ARCH") != "arm":
        return ""
    if d.getVar("TCLIBC") == "musl":
        return "--cfg=libc_unstable_musl_v1_2"
    return '--cfg=libc_unstable_gnu_time_bits=\\"64\\"'

RUSTFLAGS:append = " ${@time64_flags(d)}"

SYSTEMD_SERVICE:${PN} = "tapguard.service"
SYSTEMD_AUTO_ENABLE:${PN} = "enable"

USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system tapguard"
USERADD_PARAM:${PN} = "--system --gid tapguard --no-create-home --home-dir ${localstatedir}/lib/tapguard \
                       --shell ${base_sbindir}/nologin tapguard"

# Where "file://" is unpacked: beside the sources since walnascar, above them before.
APPLIANCE_CONFIG = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}/appliance.toml"

do_install:append() {
    install -d ${D}${sysconfdir}/tapguard/conf.d ${D}${systemd_system_unitdir}
    install -m 0644 ${S}/config/tapguard.toml ${D}${sysconfdir}/tapguard/tapguard.toml
    install -m 0644 ${APPLIANCE_CONFIG} ${D}${sysconfdir}/tapguard/conf.d/50-appliance.toml
    install -m 0644 ${S}/systemd/tapguard.service ${D}${systemd_system_unitdir}/tapguard.service
    # A root that is mounted read-only needs the place where the data is mounted.
    install -d -m 0700 -o tapguard -g tapguard ${D}${localstatedir}/lib/tapguard
}

PACKAGE_BEFORE_PN = "${PN}-appliance"

FILES:${PN} += "${localstatedir}/lib/tapguard"
FILES:${PN}-appliance += "${sysconfdir}/tapguard/conf.d/50-appliance.toml"

CONFFILES:${PN} += "${sysconfdir}/tapguard/tapguard.toml"
CONFFILES:${PN}-appliance += "${sysconfdir}/tapguard/conf.d/50-appliance.toml"

RDEPENDS:${PN}-appliance += "${PN}"
# Where the kernel has packet sockets as a module.
RRECOMMENDS:${PN} += "kernel-module-af-packet"

CVE_PRODUCT = "tapguard"
