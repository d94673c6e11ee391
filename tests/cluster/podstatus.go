package main

import (
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// report writes the pod's status when it is not what it should be.
func (p *podlet) report(pod *corev1.Pod, run *podRun) (time.Duration, error) {
	again := time.Duration(0)
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	st := pod.Status.DeepCopy()
	st.HostIP = p.addr
	st.HostIPs = []corev1.HostIP{{IP: p.addr}}
	st.PodIP = run.ip
	st.PodIPs = []corev1.PodIP{{IP: run.ip}}
	if st.StartTime == nil {
		st.StartTime = &now
	}
	st.Phase = corev1.PodRunning
	old := map[string]corev1.ContainerStatus{}
	for _, c := range st.ContainerStatuses {
		old[c.Name] = c
	}
	st.ContainerStatuses = nil
	allReady, exited, failed := true, 0, 0
	for _, c := range pod.Spec.Containers {
		cst := old[c.Name]
		cst.Name, cst.Image, cst.ImageID = c.Name, c.Image, "fixture://"+c.Image
		cst.ContainerID = "fixture://" + string(pod.UID) + "/" + c.Name
		if cst.State.Running == nil {
			cst.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}
		}
		yes := true
		cst.Ready, cst.Started = true, &yes
		if pr := run.proc(c.Name); pr != nil {
			ready, ended, code, restarts := pr.status()
			cst.Ready, cst.RestartCount = ready, restarts
			if ended {
				cst.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
					ExitCode: code, FinishedAt: now, ContainerID: cst.ContainerID, Reason: map[bool]string{true: "Completed", false: "Error"}[code == 0]}}
				exited++
				if code != 0 {
					failed++
				}
			} else if !ready {
				again = 200 * time.Millisecond
			}
		}
		if pod.Annotations[annReady] == "false" {
			cst.Ready = false
		}
		allReady = allReady && cst.Ready
		st.ContainerStatuses = append(st.ContainerStatuses, cst)
	}
	if exited == len(pod.Spec.Containers) && exited > 0 {
		if failed == 0 && pod.Spec.RestartPolicy != corev1.RestartPolicyAlways {
			st.Phase = corev1.PodSucceeded
		} else if pod.Spec.RestartPolicy == corev1.RestartPolicyNever {
			st.Phase = corev1.PodFailed
		}
	}
	for _, gate := range pod.Spec.ReadinessGates {
		ok := false
		for _, c := range st.Conditions {
			ok = ok || (c.Type == gate.ConditionType && c.Status == corev1.ConditionTrue)
		}
		allReady = allReady && ok
	}
	setCond(st, corev1.PodReadyToStartContainers, true, now)
	setCond(st, corev1.PodInitialized, true, now)
	setCond(st, corev1.ContainersReady, allReady, now)
	setCond(st, corev1.PodReady, allReady, now)
	if equalStatus(&pod.Status, st) {
		return again, nil
	}
	upd := pod.DeepCopy()
	upd.Status = *st
	_, err := p.cs.CoreV1().Pods(pod.Namespace).UpdateStatus(p.ctx, upd, metav1.UpdateOptions{})
	return again, err
}

func setCond(st *corev1.PodStatus, t corev1.PodConditionType, ok bool, now metav1.Time) {
	want := corev1.ConditionFalse
	if ok {
		want = corev1.ConditionTrue
	}
	for i := range st.Conditions {
		if st.Conditions[i].Type == t {
			if st.Conditions[i].Status != want {
				st.Conditions[i].Status, st.Conditions[i].LastTransitionTime = want, now
			}
			return
		}
	}
	st.Conditions = append(st.Conditions, corev1.PodCondition{Type: t, Status: want, LastTransitionTime: now})
}

func equalStatus(a, b *corev1.PodStatus) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}
