package main

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
)

// ensureNode makes the object of node n, ready and with room for anything.
func (p *podlet) ensureNode(n int) error {
	name := fmt.Sprintf("node-%d", n)
	res := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("64"),
		corev1.ResourceMemory:           resource.MustParse("256Gi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("1Ti"),
		corev1.ResourcePods:             resource.MustParse("1000"),
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
			corev1.LabelTopologyZone: fmt.Sprintf("zone-%c", 'a'+n%3), corev1.LabelTopologyRegion: "region-1",
		}},
		Spec: corev1.NodeSpec{PodCIDR: p.net.nodeCIDR(n), PodCIDRs: []string{p.net.nodeCIDR(n)}},
	}
	if _, err := p.cs.CoreV1().Nodes().Create(p.ctx, node, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		cur, err := p.cs.CoreV1().Nodes().Get(p.ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		// Admission taints a new node not-ready; the controller that would
		// lift it (node-lifecycle) is off.
		if len(cur.Spec.Taints) > 0 {
			cur.Spec.Taints = nil
			if cur, err = p.cs.CoreV1().Nodes().Update(p.ctx, cur, metav1.UpdateOptions{}); err != nil {
				return err
			}
		}
		now := metav1.Now()
		cur.Status.Capacity, cur.Status.Allocatable = res, res
		cur.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: p.addr}, {Type: corev1.NodeHostName, Address: name}}
		cur.Status.DaemonEndpoints.KubeletEndpoint.Port = 10250
		cur.Status.NodeInfo = corev1.NodeSystemInfo{KubeletVersion: "v0.0.0-podlet", OperatingSystem: "linux", Architecture: "amd64",
			ContainerRuntimeVersion: "fixture://0"}
		cur.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Fixture",
			LastHeartbeatTime: now, LastTransitionTime: now}}
		_, err = p.cs.CoreV1().Nodes().UpdateStatus(p.ctx, cur, metav1.UpdateOptions{})
		return err
	})
}

// serveKubeletAPI answers the one kubelet call tests need: a container's log
// (`kubectl logs`; the Gateway API suite's request-mirror tests read it).
func (p *podlet) serveKubeletAPI(addr, cert, key string) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{ns}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		pod, err := p.lister.Pods(r.PathValue("ns")).Get(r.PathValue("pod"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		var since time.Time
		q := r.URL.Query()
		if s := q.Get("sinceTime"); s != "" {
			since, _ = time.Parse(time.RFC3339, s)
		}
		if s, err := strconv.Atoi(q.Get("sinceSeconds")); err == nil {
			since = time.Now().Add(-time.Duration(s) * time.Second)
		}
		p.mu.Lock()
		var pr *proc
		if run := p.runs[pod.UID]; run != nil {
			pr = run.proc(r.PathValue("container"))
		}
		p.mu.Unlock()
		w.Header().Set("Content-Type", "text/plain")
		if pr == nil {
			return
		}
		lines := pr.logSince(since)
		if t, err := strconv.Atoi(q.Get("tailLines")); err == nil && t < len(lines) {
			lines = lines[len(lines)-t:]
		}
		for _, l := range lines {
			if q.Get("timestamps") == "true" {
				fmt.Fprint(w, l.at.UTC().Format(time.RFC3339Nano), " ")
			}
			fmt.Fprintln(w, l.text)
		}
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	if err := http.ListenAndServeTLS(addr, cert, key, mux); err != nil {
		fmt.Fprintln(os.Stderr, "kubelet API:", err)
	}
}
