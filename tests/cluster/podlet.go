package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
)

// The podlet plays N nodes. It binds pods (unless a scheduler runs), gives
// them addresses, reports them Running and Ready, serves their logs to the API
// server, and removes them when they are deleted. What a pod "runs" is decided
// by its image:
//
//	[{"match": "registry.k8s.io/gateway-api/echo-basic", "exec": ["/path/echo-basic"], "readyPort": 3000},
//	 {"match": "*"}]
//
// The first rule whose match is a prefix of the image name wins. A rule
// without exec gives an address-only pod: something else must answer for its
// address (see echo.go), which is how thousands of pods are cheap.
//
// Annotations by which a test drives an address-only pod:
//
//	fixture/ready: "false"       not Ready until changed
//	fixture/ip: 10.244.7.7       this address (no check that it is free)
//	fixture/start-delay: 2s      Pending for so long
//	fixture/stop-delay: 5s       stays (Terminating) for so long after deletion
type imageRule struct {
	Match     string            `json:"match"`
	Exec      []string          `json:"exec"`
	Env       map[string]string `json:"env"`
	ReadyPort int               `json:"readyPort"`
}

const (
	annReady = "fixture/ready"
	annIP    = "fixture/ip"
	annStart = "fixture/start-delay"
	annStop  = "fixture/stop-delay"
)

type podlet struct {
	cs     kubernetes.Interface
	addr   string
	state  string
	nodes  int
	bind   bool
	rules  []imageRule
	net    podNet
	lister corelisters.PodLister
	queue  workqueue.TypedRateLimitingInterface[string]
	ctx    context.Context

	mu   sync.Mutex
	ips  map[string]types.UID // address -> pod
	next map[string]int       // node -> where the address search goes on
	load map[string]int       // node -> pods bound to it
	runs map[types.UID]*podRun
}

type podRun struct {
	ip      string
	began   time.Time
	deleted time.Time
	routed  bool     // address-only, and its route is set
	sandbox *sandbox // nil: no network namespace of its own

	mu    sync.Mutex
	procs map[string]*proc
}

func (r *podRun) proc(name string) *proc {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.procs[name]
}

func (r *podRun) all() []*proc {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*proc
	for _, p := range r.procs {
		out = append(out, p)
	}
	return out
}

func cmdPodlet(args []string) error {
	f := flag.NewFlagSet("podlet", flag.ExitOnError)
	kubeconfig := f.String("kubeconfig", "", "")
	state := f.String("state", "", "")
	addr := f.String("addr", "", "address of the nodes")
	podCIDR := f.String("pod-cidr", "10.244.0.0/16", "")
	mode := f.String("pod-net", "anyip", "")
	images := f.String("images", "", "")
	nodes := f.Int("nodes", 1, "")
	bind := f.Bool("bind", true, "")
	lbCIDR := f.String("lb-cidr", "", "give Services of type LoadBalancer addresses from this /24")
	cert := f.String("serving-cert", "", "")
	key := f.String("serving-key", "", "")
	_ = f.Parse(args)

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	cfg, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	cfg.QPS, cfg.Burst = 2000, 4000
	cfg.ContentType = "application/vnd.kubernetes.protobuf"
	cs, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	p := &podlet{
		cs: cs, addr: *addr, state: *state, nodes: *nodes, bind: *bind, ctx: ctx,
		ips: map[string]types.UID{}, next: map[string]int{}, load: map[string]int{}, runs: map[types.UID]*podRun{},
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](20*time.Millisecond, 2*time.Second)),
	}
	if *images != "" {
		b, err := os.ReadFile(*images)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &p.rules); err != nil {
			return fmt.Errorf("%s: %w", *images, err)
		}
	}
	if p.net, err = newPodNet(*mode, *podCIDR); err != nil {
		return err
	}
	defer p.stopAll()

	go p.serveKubeletAPI(net.JoinHostPort(*addr, "10250"), *cert, *key)
	for n := 0; n < p.nodes; n++ {
		if err := p.ensureNode(n); err != nil {
			return err
		}
	}
	inf := informers.NewSharedInformerFactory(cs, 0)
	pods := inf.Core().V1().Pods()
	p.lister = pods.Lister()
	if _, err := pods.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    p.added,
		UpdateFunc: func(_, o any) { p.enqueue(o) },
		DeleteFunc: p.gone,
	}); err != nil {
		return err
	}
	if *lbCIDR != "" {
		if err := p.serveLoadBalancers(inf, *lbCIDR); err != nil {
			return err
		}
	}
	inf.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), pods.Informer().HasSynced) {
		return ctx.Err()
	}
	for w := 0; w < 16; w++ {
		go func() {
			for {
				key, quit := p.queue.Get()
				if quit {
					return
				}
				after, err := p.sync(key)
				switch {
				case err != nil:
					if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
						fmt.Fprintf(os.Stderr, "%s: %v\n", key, err)
					}
					p.queue.AddRateLimited(key)
				case after > 0:
					p.queue.Forget(key)
					p.queue.AddAfter(key, after)
				default:
					p.queue.Forget(key)
				}
				p.queue.Done(key)
			}
		}()
	}
	fmt.Println("podlet ready,", p.nodes, "nodes, pod network", *mode)
	<-ctx.Done()
	p.queue.ShutDown()
	return nil
}

func (p *podlet) added(o any) {
	if pod, ok := o.(*corev1.Pod); ok && pod.Spec.NodeName != "" {
		p.count(pod.Spec.NodeName, 1) // bound by a scheduler, or by an earlier podlet
	}
	p.enqueue(o)
}

func (p *podlet) count(node string, by int) {
	p.mu.Lock()
	p.load[node] += by
	p.mu.Unlock()
}

func (p *podlet) enqueue(o any) {
	if k, err := cache.MetaNamespaceKeyFunc(o); err == nil {
		p.queue.Add(k)
	}
}

// gone frees what a pod held once the API server has forgotten it.
func (p *podlet) gone(o any) {
	if d, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = d.Obj
	}
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return
	}
	if pod.Spec.NodeName != "" {
		p.count(pod.Spec.NodeName, -1)
	}
	p.mu.Lock()
	run := p.runs[pod.UID]
	delete(p.runs, pod.UID)
	p.mu.Unlock()
	if run == nil {
		return
	}
	go func() {
		p.teardown(run)
		p.mu.Lock()
		if p.ips[run.ip] == pod.UID {
			delete(p.ips, run.ip) // free only now that nothing answers for it
		}
		p.mu.Unlock()
	}()
}

func (p *podlet) sync(key string) (time.Duration, error) {
	ns, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, err
	}
	pod, err := p.lister.Pods(ns).Get(name)
	if apierrors.IsNotFound(err) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	if pod.Spec.NodeName == "" {
		if !p.bind || pod.DeletionTimestamp != nil || len(pod.Spec.SchedulingGates) > 0 {
			return 0, nil
		}
		node := p.chooseNode(pod)
		if err := p.cs.CoreV1().Pods(ns).Bind(p.ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, UID: pod.UID},
			Target:     corev1.ObjectReference{Kind: "Node", Name: node},
		}, metav1.CreateOptions{}); err != nil {
			return 0, err
		}
		p.count(node, 1)
		return 0, nil
	}
	node, ok := p.nodeIndex(pod.Spec.NodeName)
	if !ok {
		return 0, nil
	}
	if pod.DeletionTimestamp != nil {
		return p.remove(pod)
	}
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return 0, nil
	}
	run, err := p.run(pod, node)
	if err != nil {
		return 0, err
	}
	if d := duration(pod, annStart); d > 0 && time.Since(run.began) < d {
		return d - time.Since(run.began), nil
	}
	wait, err := p.startProcs(pod, run)
	if err != nil || wait > 0 {
		return wait, err
	}
	return p.report(pod, run)
}

// run gives the pod its address (again the one its status shows, if any).
func (p *podlet) run(pod *corev1.Pod, node int) (*podRun, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.runs[pod.UID]; r != nil {
		return r, nil
	}
	ip := pod.Annotations[annIP]
	if ip == "" {
		ip = pod.Status.PodIP
	}
	if pod.Spec.HostNetwork {
		ip = p.addr
	}
	for i := 0; ip == "" && i < 252; i++ {
		n := 2 + (p.next[pod.Spec.NodeName]+i)%252
		c := p.net.address(node, n)
		if _, used := p.ips[c]; !used {
			ip = c
			p.next[pod.Spec.NodeName] = n - 1
		}
	}
	if ip == "" {
		return nil, fmt.Errorf("node %s has no address left", pod.Spec.NodeName)
	}
	if !pod.Spec.HostNetwork {
		p.ips[ip] = pod.UID
	}
	r := &podRun{ip: ip, began: time.Now(), procs: map[string]*proc{}}
	p.runs[pod.UID] = r
	return r, nil
}

func (p *podlet) rule(image string) imageRule {
	for _, r := range p.rules {
		if r.Match == "*" || strings.HasPrefix(image, r.Match) {
			return r
		}
	}
	return imageRule{}
}

// remove ends a pod that is being deleted: SIGTERM, then up to the grace
// period, then the object goes. The pod stays Ready in between, as with a
// kubelet; the EndpointSlice controller marks it terminating by itself.
func (p *podlet) remove(pod *corev1.Pod) (time.Duration, error) {
	p.mu.Lock()
	run := p.runs[pod.UID]
	p.mu.Unlock()
	if run != nil {
		grace := 30 * time.Second
		if s := pod.DeletionGracePeriodSeconds; s != nil {
			grace = time.Duration(*s) * time.Second
		}
		if run.deleted.IsZero() {
			run.deleted = time.Now()
			for _, pr := range run.all() {
				pr.terminate()
			}
		}
		wait := min(duration(pod, annStop), grace)
		for _, pr := range run.all() {
			if !pr.ended() {
				wait = grace
			}
		}
		if left := wait - time.Since(run.deleted); left > 0 {
			return min(left, 50*time.Millisecond), nil
		}
		p.teardown(run)
	}
	zero := int64(0)
	err := p.cs.CoreV1().Pods(pod.Namespace).Delete(p.ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &pod.UID}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		err = nil
	}
	return 0, err
}

func (p *podlet) teardown(run *podRun) {
	for _, pr := range run.all() {
		pr.kill()
	}
	p.net.release(run)
}

func (p *podlet) stopAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.runs {
		p.teardown(r)
	}
}

func (p *podlet) nodeIndex(name string) (int, bool) {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "node-"))
	return n, err == nil && strings.HasPrefix(name, "node-") && n < p.nodes
}

// chooseNode honours a DaemonSet's pinning and the hostname selector; else it
// takes the node with the fewest pods.
func (p *podlet) chooseNode(pod *corev1.Pod) string {
	if h := pod.Spec.NodeSelector[corev1.LabelHostname]; h != "" {
		return h
	}
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		for _, t := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
			for _, m := range t.MatchFields {
				if m.Key == "metadata.name" && len(m.Values) == 1 {
					return m.Values[0]
				}
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	best := "node-0"
	for n := 1; n < p.nodes; n++ {
		if name := fmt.Sprintf("node-%d", n); p.load[name] < p.load[best] {
			best = name
		}
	}
	return best
}

// serveLoadBalancers plays the cloud: a Service of type LoadBalancer gets the
// next address of the range, all of which are local here.
func (p *podlet) serveLoadBalancers(inf informers.SharedInformerFactory, cidr string) error {
	ip, _, err := net.ParseCIDR(cidr)
	if err != nil || ip.To4() == nil {
		return fmt.Errorf("--lb-cidr %q: want an IPv4 range", cidr)
	}
	if err := ip2("route", "replace", "local", cidr, "dev", "lo"); err != nil {
		return err
	}
	last := byte(0)
	give := func(o any) {
		svc, ok := o.(*corev1.Service)
		if !ok || svc.Spec.Type != corev1.ServiceTypeLoadBalancer || len(svc.Status.LoadBalancer.Ingress) > 0 {
			return
		}
		last++
		mode := corev1.LoadBalancerIPModeProxy
		upd := svc.DeepCopy()
		upd.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: net.IPv4(ip.To4()[0], ip.To4()[1], ip.To4()[2], last).String(), IPMode: &mode}}
		if _, err := p.cs.CoreV1().Services(svc.Namespace).UpdateStatus(p.ctx, upd, metav1.UpdateOptions{}); err != nil {
			fmt.Fprintln(os.Stderr, "load balancer:", err)
		}
	}
	_, err = inf.Core().V1().Services().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: give, UpdateFunc: func(_, o any) { give(o) }})
	return err
}

func duration(pod *corev1.Pod, ann string) time.Duration {
	d, _ := time.ParseDuration(pod.Annotations[ann])
	return d
}

func (p *podlet) podDir(pod *corev1.Pod) string {
	return filepath.Join(p.state, "pods", string(pod.UID))
}
