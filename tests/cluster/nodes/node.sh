#!/bin/bash
# node.sh NETNS STATE INDEX - one node, until it is stopped: containerd, the real
# kubelet and kube-proxy, in a network and a mount namespace of their own.
#
# NETNS is the namespace in which `cluster up --kubelets --state STATE` runs; its
# bridge nodes0 joins the nodes. Node i is node-i, 10.0.1.(10+i), pods 10.244.i.0/24.
# /run, /var/lib and /var/log are the node's own, so host paths of two nodes do not
# meet; the rest of the file system is this machine's. Every image archive in
# STATE/images is imported at the start (image.py makes one of a static program).
# To stop it: SIGTERM, or kill.sh to see a node die.
set -eu
net=$1 state=$(realpath "$2") i=$3
here=$(cd "$(dirname "$0")" && pwd)
bin=$("$here/build")
ns=$net-n$i node=node-$i ip=10.0.1.$((10 + i)) dir=$state/node-$i pki=$state/pki

cleanup() {
  trap - EXIT
  for _ in 1 2 3; do "$here/kill.sh" "$net" "$i"; sleep 0.2; done
  ip -n "$net" route del "10.244.$i.0/24" 2>/dev/null || true
  ip -n "$net" link del "v$i" 2>/dev/null || true
  ip netns del "$ns" 2>/dev/null || true
  find /sys/fs/cgroup -depth -type d -path "*/$ns*" -exec rmdir {} + 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 143' INT TERM

mkdir -p "$dir"/{lib,log,cni,conf}
# The node's wire. Two nodes may start at once: the first makes the bridge.
exec 9>"$state/nodes.lock"; flock 9
if ! ip -n "$net" link show nodes0 >/dev/null 2>&1; then
  # Fixed hardware addresses: a bridge takes its lowest port's, and when that port
  # goes, every node's ARP entry for the gateway is wrong for a minute.
  ip -n "$net" link add nodes0 address 02:00:00:00:01:01 type bridge
  ip -n "$net" addr add 10.0.1.1/24 dev nodes0
  ip -n "$net" link set nodes0 up
  nsenter --net="/run/netns/$net" sysctl -qw net.ipv4.ip_forward=1
fi
flock -u 9
ip netns add "$ns"
ip -n "$net" link add "v$i" type veth peer name eth0 address "$(printf '02:00:00:00:02:%02x' "$i")" netns "$ns"
ip -n "$net" link set "v$i" master nodes0 up
ip -n "$ns" link set lo up
ip -n "$ns" addr add "$ip/24" dev eth0
ip -n "$ns" link set eth0 up
ip -n "$ns" route add default via 10.0.1.1
ip -n "$net" route replace "10.244.$i.0/24" via "$ip"
nsenter --net="/run/netns/$ns" sysctl -qw net.ipv4.ip_forward=1

# One certificate, for the kubelet as client and as server.
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
  -keyout "$dir/conf/kubelet.key" -subj "/O=system:nodes/CN=system:node:$node" 2>/dev/null |
  openssl x509 -req -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -set_serial "$((RANDOM + 1))$i" -days 30 \
    -extfile <(printf 'subjectAltName=IP:%s,DNS:%s\nextendedKeyUsage=clientAuth,serverAuth\n' "$ip" "$node") \
    -out "$dir/conf/kubelet.crt" 2>/dev/null

cat >"$dir/conf/kubeconfig" <<Y
apiVersion: v1
kind: Config
clusters: [{name: fixture, cluster: {server: "https://10.0.0.1:6443", certificate-authority: $pki/ca.crt}}]
users: [{name: kubelet, user: {client-certificate: $dir/conf/kubelet.crt, client-key: $dir/conf/kubelet.key}}]
contexts: [{name: fixture, context: {cluster: fixture, user: kubelet}}]
current-context: fixture
Y
# A tree of cgroups for each node: in one that it shared each kubelet would take the
# others' pods for orphans.
for tree in /sys/fs/cgroup/*/; do
  [ -e "$tree/cgroup.procs" ] || continue
  mkdir -p "$tree/$ns"
  for file in cpuset.cpus cpuset.mems; do
    [ ! -e "$tree/$file" ] || cat "$tree/$file" >"$tree/$ns/$file"
  done
done
[ ! -e /sys/fs/cgroup/cgroup.procs ] || mkdir -p "/sys/fs/cgroup/$ns"
cat >"$dir/conf/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
cgroupsPerQOS: true
cgroupRoot: /$ns
enforceNodeAllocatable: []
localStorageCapacityIsolation: false
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $dir/conf/kubelet.crt
tlsPrivateKeyFile: $dir/conf/kubelet.key
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
resolvConf: ""
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 1Mi, nodefs.available: 0%, imagefs.available: 0%, nodefs.inodesFree: 0%}
nodeStatusUpdateFrequency: 4s
syncFrequency: 10s
volumePluginDir: /var/lib/kubelet/volumeplugins
Y
cat >"$dir/conf/containerd.toml" <<Y
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "registry.local/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "$dir/cni"
Y
cat >"$dir/cni/10-pods.conflist" <<Y
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true, "ipam": {
    "type": "host-local", "ranges": [[{"subnet": "10.244.$i.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/run/cni"}},
  {"type": "portmap", "capabilities": {"portMappings": true}},
  {"type": "loopback"}]}
Y
cat >"$dir/conf/proxy.yaml" <<Y
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $state/admin.kubeconfig}
clusterCIDR: 10.244.0.0/16
hostnameOverride: $node
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
Y

# nsenter, not `ip netns exec`: that one mounts a new /sys, without the cgroups.
nsenter --net="/run/netns/$ns" unshare --mount --propagation slave bash -eu -c '
  dir=$1 bin=$2 node=$3 ip=$4 state=$5
  PATH=$bin:/usr/sbin:/usr/bin:/sbin:/bin
  mount --make-rshared /
  mount -t tmpfs none /run
  mkdir -p /run/containerd
  mount --bind "$dir/lib" /var/lib
  mount --bind "$dir/log" /var/log
  mkdir -p /var/log/pods /var/log/containers
  containerd -c "$dir/conf/containerd.toml" >"$dir/containerd.log" 2>&1 &
  # As long as it takes; one that has ended ends the node.
  until ctr version >/dev/null 2>&1; do kill -0 $!; sleep 0.1; done
  for image in "$bin"/images/*.tar "$state"/images/*.tar; do [ ! -f "$image" ] || ctr -n k8s.io images import "$image" >>"$dir/images.log" 2>&1; done
  cluster kube-proxy --config "$dir/conf/proxy.yaml" >"$dir/kube-proxy.log" 2>&1 &
  exec cluster kubelet --config "$dir/conf/kubelet.yaml" --kubeconfig "$dir/conf/kubeconfig" \
    --hostname-override "$node" --node-ip "$ip" --root-dir /var/lib/kubelet >"$dir/kubelet.log" 2>&1
' _ "$dir" "$bin" "$node" "$ip" "$state" &
wait $!
