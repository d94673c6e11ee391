package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// list is a flag that may be given more than once.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

type upFlags struct {
	state, addr, services, pods, images, podNet, lb string
	port, nodes                                     int
	scheduler, kcm, podlet, kubelets                bool
	apiArgs, kcmArgs                                list
	verbose                                         int
}

func cmdUp(args []string) error {
	var o upFlags
	fs := flag.NewFlagSet("up", flag.ExitOnError)
	fs.StringVar(&o.state, "state", ".cluster", "state folder: certificates, kubeconfigs, logs, etcd data")
	fs.StringVar(&o.addr, "addr", "10.0.0.1", "address of the API server and of the nodes; must exist here and must not be a loopback address")
	fs.IntVar(&o.port, "port", 6443, "API server port")
	fs.StringVar(&o.services, "service-cidr", "10.96.0.0/16", "ClusterIP range")
	fs.StringVar(&o.pods, "pod-cidr", "10.244.0.0/16", "pod range; node n gets the n-th /24")
	fs.IntVar(&o.nodes, "nodes", 1, "number of nodes the podlet plays")
	fs.BoolVar(&o.scheduler, "scheduler", false, "run the real kube-scheduler; without it the podlet binds pods itself")
	fs.BoolVar(&o.kcm, "kcm", true, "run kube-controller-manager")
	fs.BoolVar(&o.podlet, "podlet", true, "run the podlet")
	fs.BoolVar(&o.kubelets, "kubelets", false, "the nodes are real kubelets (nodes/node.sh): no podlet, the real scheduler, node lifecycle")
	fs.StringVar(&o.images, "images", "", "JSON file: which image is which local program (see podlet.go)")
	fs.StringVar(&o.podNet, "pod-net", "anyip", "anyip: pods are only addresses; netns: one network namespace per pod that runs a program")
	fs.StringVar(&o.lb, "lb-cidr", "", "give Services of type LoadBalancer addresses from this /24, for example 203.0.113.0/24")
	fs.Var(&o.apiArgs, "apiserver-arg", "extra kube-apiserver flag (repeatable)")
	fs.Var(&o.kcmArgs, "kcm-arg", "extra kube-controller-manager flag (repeatable)")
	fs.IntVar(&o.verbose, "v", 1, "log level of the Kubernetes components")
	_ = fs.Parse(args)
	if o.kubelets {
		o.podlet, o.scheduler = false, true
	}

	start := time.Now()
	ip := net.ParseIP(o.addr)
	if ip == nil || ip.IsLoopback() {
		return fmt.Errorf("--addr %q: need a non-loopback IP (the kubernetes Service's own endpoint would be refused)", o.addr)
	}
	if l, err := net.Listen("tcp", net.JoinHostPort(o.addr, "0")); err != nil {
		return fmt.Errorf("--addr %s is not an address of this network namespace: %w", o.addr, err)
	} else {
		l.Close()
	}
	_, svcNet, err := net.ParseCIDR(o.services)
	if err != nil {
		return err
	}
	state, err := filepath.Abs(o.state)
	if err != nil {
		return err
	}
	for _, d := range []string{"logs", "run", "etcd"} {
		if err := os.MkdirAll(filepath.Join(state, d), 0o755); err != nil {
			return err
		}
	}
	_ = os.Remove(filepath.Join(state, "ready.json"))

	firstSvc := append(net.IP(nil), svcNet.IP.To4()...)
	firstSvc[3]++
	p, err := makePKI(filepath.Join(state, "pki"),
		[]net.IP{ip, net.IPv4(127, 0, 0, 1), firstSvc}, []net.IP{ip},
		[]string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"})
	if err != nil {
		return err
	}
	server := "https://" + net.JoinHostPort(o.addr, strconv.Itoa(o.port))
	kc := func(user string) string { return filepath.Join(state, user+".kubeconfig") }
	for _, user := range []string{"admin", "podlet", "controller-manager", "scheduler"} {
		if err := p.writeKubeconfig(kc(user), server, user, ""); err != nil {
			return err
		}
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	sup := &supervisor{state: state, died: make(chan error, 8)}
	defer sup.stopAll()

	etcdURL := "http://127.0.0.1:2379"
	if err := sup.start("etcd", "--data-dir="+filepath.Join(state, "etcd"), "--client-url="+etcdURL); err != nil {
		return err
	}
	if err := waitHTTP(ctx, sup, http.DefaultClient, etcdURL+"/health", 60*time.Second); err != nil {
		return fmt.Errorf("etcd: %w", err)
	}

	v := "-v=" + strconv.Itoa(o.verbose)
	if err := sup.start("kube-apiserver", append([]string{
		v,
		"--etcd-servers=" + etcdURL,
		"--bind-address=0.0.0.0",
		"--advertise-address=" + o.addr,
		"--secure-port=" + strconv.Itoa(o.port),
		"--service-cluster-ip-range=" + o.services,
		"--tls-cert-file=" + p.crt("apiserver"), "--tls-private-key-file=" + p.key("apiserver"),
		"--client-ca-file=" + p.crt("ca"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + filepath.Join(p.dir, "sa.pub"),
		"--service-account-signing-key-file=" + p.key("sa"),
		"--authorization-mode=Node,RBAC",
		"--allow-privileged=true",
		"--kubelet-certificate-authority=" + p.crt("ca"),
		"--kubelet-client-certificate=" + p.crt("kubelet-client"), "--kubelet-client-key=" + p.key("kubelet-client"),
		"--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file=" + p.crt("front-proxy-ca"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + p.crt("front-proxy"), "--proxy-client-key-file=" + p.key("front-proxy"),
		"--profiling=false",
	}, o.apiArgs...)...); err != nil {
		return err
	}
	pool := x509.NewCertPool()
	caPEM, err := os.ReadFile(p.crt("ca"))
	if err != nil {
		return err
	}
	pool.AppendCertsFromPEM(caPEM)
	hc := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	if err := waitHTTP(ctx, sup, hc, server+"/readyz", 120*time.Second); err != nil {
		return fmt.Errorf("kube-apiserver: %w", err)
	}
	apiReady := time.Since(start)

	if o.kcm {
		if err := sup.start("kube-controller-manager", append([]string{
			v,
			"--kubeconfig=" + kc("controller-manager"),
			"--authentication-kubeconfig=" + kc("controller-manager"),
			"--authorization-kubeconfig=" + kc("controller-manager"),
			"--bind-address=127.0.0.1",
			"--service-account-private-key-file=" + p.key("sa"),
			"--root-ca-file=" + p.crt("ca"),
			"--cluster-signing-cert-file=" + p.crt("ca"), "--cluster-signing-key-file=" + p.key("ca"),
			"--use-service-account-credentials=true",
			"--leader-elect=false",
			"--controllers=" + controllers(o.kubelets),
			// The stock limit of 20 requests a second makes 600 pods take half a minute.
			"--kube-api-qps=1000", "--kube-api-burst=2000",
			"--min-resync-period=10h",
		}, o.kcmArgs...)...); err != nil {
			return err
		}
	}
	if o.scheduler {
		if err := sup.start("kube-scheduler", v,
			"--kubeconfig="+kc("scheduler"), "--authentication-kubeconfig="+kc("scheduler"),
			"--authorization-kubeconfig="+kc("scheduler"),
			"--kube-api-qps=1000", "--kube-api-burst=2000",
			"--bind-address=127.0.0.1", "--leader-elect=false"); err != nil {
			return err
		}
	}
	if o.podlet {
		if err := sup.start("podlet",
			"--kubeconfig="+kc("podlet"), "--state="+state, "--addr="+o.addr,
			"--pod-cidr="+o.pods, "--pod-net="+o.podNet, "--images="+o.images,
			"--lb-cidr="+o.lb, "--nodes="+strconv.Itoa(o.nodes), "--bind="+strconv.FormatBool(!o.scheduler),
			"--serving-cert="+p.crt("podlet-serving"), "--serving-key="+p.key("podlet-serving")); err != nil {
			return err
		}
	}
	if err := waitUsable(ctx, sup, kc("admin"), o); err != nil {
		return err
	}

	ready := map[string]any{
		"server": server, "kubeconfig": kc("admin"), "state": state,
		"apiReadySeconds": apiReady.Seconds(), "readySeconds": time.Since(start).Seconds(),
		"pid": os.Getpid(),
	}
	b, _ := json.MarshalIndent(ready, "", "  ")
	tmp := filepath.Join(state, "ready.json.tmp")
	if err := os.WriteFile(tmp, append(b, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(state, "ready.json")); err != nil {
		return err
	}
	fmt.Printf("%s\n", b)

	select {
	case <-ctx.Done():
		return nil
	case err := <-sup.died:
		return err
	}
}

// controllers leaves out what nothing here needs: no cloud gives CIDRs or
// disks, no metrics server feeds the autoscaler, and the podlet's nodes renew
// no leases.
func controllers(kubelets bool) string {
	off := []string{"*", "-node-ipam-controller", "-persistentvolume-attach-detach-controller",
		"-persistentvolume-expander-controller", "-horizontal-pod-autoscaler-controller"}
	if !kubelets {
		off = append(off, "-node-lifecycle-controller")
	}
	return strings.Join(off, ",")
}

// waitUsable waits until the control plane does what a first test needs.
func waitUsable(ctx context.Context, sup *supervisor, kubeconfig string, o upFlags) error {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	cs, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(90 * time.Second)
	for {
		missing := ""
		if o.kcm {
			if _, err := cs.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{}); err != nil {
				if !apierrors.IsNotFound(err) {
					missing = err.Error()
				} else {
					missing = "service account default/default"
				}
			}
		}
		if missing == "" && o.podlet {
			if nl, err := cs.CoreV1().Nodes().List(ctx, metav1.ListOptions{}); err != nil || len(nl.Items) < o.nodes {
				missing = fmt.Sprintf("%d nodes (%v)", o.nodes, err)
			}
		}
		if missing == "" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("control plane not usable: still no %s", missing)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-sup.died:
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func waitHTTP(ctx context.Context, sup *supervisor, hc *http.Client, url string, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	last := "no answer"
	for time.Now().Before(deadline) {
		rsp, err := hc.Get(url)
		if err == nil {
			rsp.Body.Close()
			if rsp.StatusCode == http.StatusOK {
				return nil
			}
			last = rsp.Status
		} else {
			last = err.Error()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-sup.died:
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s: %s after %s", url, last, limit)
}

// supervisor runs the components as children of this process. Their pids lie
// in STATE/run, so that a test can freeze (SIGSTOP), continue or kill one. A
// component that was killed is started again as soon as no file NAME.hold lies
// in STATE/run; one that ends by itself in its first seconds ends the cluster.
type supervisor struct {
	state string
	died  chan error

	mu       sync.Mutex
	stopping bool
	order    []string
	procs    map[string]*os.Process
	done     sync.WaitGroup
}

func (s *supervisor) start(name string, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	logf, err := os.OpenFile(filepath.Join(s.state, "logs", name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.order = append(s.order, name)
	s.mu.Unlock()
	started := make(chan error, 1)
	s.done.Add(1)
	go func() {
		defer s.done.Done()
		// The parent-death signal follows the thread that forked.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for first := true; ; first = false {
			cmd := exec.Command(self, append([]string{name}, args...)...)
			cmd.Stdout, cmd.Stderr = logf, logf
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
			began := time.Now()
			err := cmd.Start()
			if first {
				started <- err
			}
			if err != nil {
				return
			}
			s.note(name, cmd.Process)
			err = cmd.Wait()
			s.mu.Lock()
			stopping := s.stopping
			s.mu.Unlock()
			if stopping {
				return
			}
			if time.Since(began) < 2*time.Second && !wasKilled(cmd.ProcessState) {
				s.died <- fmt.Errorf("%s ended at once (%v): see %s", name, err, logf.Name())
				return
			}
			fmt.Fprintf(os.Stderr, "cluster: %s ended (%v), starting it again\n", name, err)
			if !s.awaitRelease(name) {
				return
			}
		}
	}()
	return <-started
}

func wasKilled(st *os.ProcessState) bool {
	ws, ok := st.Sys().(syscall.WaitStatus)
	return ok && ws.Signaled()
}

// awaitRelease waits while a test holds the component down; false: the whole
// cluster is stopping.
func (s *supervisor) awaitRelease(name string) bool {
	hold := filepath.Join(s.state, "run", name+".hold")
	for {
		s.mu.Lock()
		stopping := s.stopping
		s.mu.Unlock()
		if stopping {
			return false
		}
		if _, err := os.Stat(hold); err != nil {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *supervisor) note(name string, p *os.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.procs == nil {
		s.procs = map[string]*os.Process{}
	}
	s.procs[name] = p
	_ = os.WriteFile(filepath.Join(s.state, "run", name+".pid"), []byte(strconv.Itoa(p.Pid)+"\n"), 0o644)
}

func (s *supervisor) stopAll() {
	s.mu.Lock()
	s.stopping = true
	for i := len(s.order) - 1; i >= 0; i-- {
		if p := s.procs[s.order[i]]; p != nil {
			_ = p.Signal(syscall.SIGCONT) // a test may have left it frozen
			_ = p.Signal(syscall.SIGTERM)
		}
	}
	s.mu.Unlock()
	all := make(chan struct{})
	go func() { s.done.Wait(); close(all) }()
	select {
	case <-all:
	case <-time.After(1500 * time.Millisecond):
		s.mu.Lock()
		for _, p := range s.procs {
			_ = p.Kill()
		}
		s.mu.Unlock()
	}
}
