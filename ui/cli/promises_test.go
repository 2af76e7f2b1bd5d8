package cli

import (
	"strings"
	"testing"

	"mayday/state"
	"mayday/steps/drill"
)

// TestPromises is what each verb promises, promise by promise, of one hotfix on a served
// range that is deployed, taken back and resolved by commands alone; and of one by
// scripts, where things go wrong.
func TestPromises(t *testing.T) {
	s := told(t)
	w := wrong(t)
	for verb, promises := range map[string]map[string]func(*testing.T){
		"create": {
			"naming_convention": func(t *testing.T) {
				want := "hotfix/" + s.scenario.Issue + "-payment-gateway-down"
				s.says(t, "create", want)
				if got := git(t, s.Remote, "branch", "--list", want); got == "" {
					t.Errorf("the remote has no %s", want)
				}
			},
			"production_baseline": func(t *testing.T) {
				if s.in.Facts["baseline"] != drill.Broken {
					t.Errorf("the baseline is %q", s.in.Facts["baseline"])
				}
				git(t, s.Remote, "merge-base", "--is-ancestor", drill.Broken+"^{commit}", s.in.Facts["branch"])
			},
			"tracker_link":       func(t *testing.T) { s.fact(t, "2.ticket", "https://tickets.shop.example/browse/"+s.scenario.Issue) },
			"notification_slack": func(t *testing.T) { s.posted(t, "/slack", `"blocks"`, "INCIDENT DECLARED: SEV1") },
			"notification_teams": func(t *testing.T) { s.posted(t, "/teams", "AdaptiveCard", "INCIDENT DECLARED: SEV1") },
			"timeline_start":     func(t *testing.T) { s.says(t, "timeline", "SEV1 Payment Gateway Down", "Hotfix branch") },
			"approval_workflow_start": func(t *testing.T) {
				s.heard(t, "review", "INCIDENT DECLARED: SEV1", "REVIEW NEEDED NOW")
				s.says(t, "unsigned", "6.signoff Sign-off waits for a person")
			},
		},
		"deploy": {
			"pre_deployment_health_checks": func(t *testing.T) { s.before(t, "10.deploy", "8.paths", "8.probes", "10.channels", "10.rollback") },
			"migration_validation":         func(t *testing.T) { s.before(t, "10.deploy", "10.migration") },
			"configuration_consistency":    func(t *testing.T) { s.before(t, "10.deploy", "10.config") },
			"blue_green": func(t *testing.T) {
				s.says(t, "deploy blue-green", "traffic to green: seen 100.0 %, 2 endpoints of app-green")
			},
			"canary":         func(t *testing.T) { s.stages(t, 25, 100) },
			"smoke_tests":    func(t *testing.T) { s.before(t, "10.deploy", "8.smoke"); s.before(t, "", "12.paths", "12.fixed") },
			"live_dashboard": func(t *testing.T) { s.says(t, "cockpit", "canary 25 % started", "gate", "error rate") },
			"notifications": func(t *testing.T) {
				s.heard(t, "team", "HOTFIX DEPLOYED: SEV1 shop")
				s.heard(t, "stakeholders", "HOTFIX DEPLOYED")
			},
		},
		"rollback": {
			"instant_traffic_switch":                  s.trafficFirst,
			"database_state_preserved":                func(t *testing.T) { s.undone(t, "database", state.ItemNotNeeded, "kept as it is") },
			"session_continuity":                      s.continuity,
			"cache_invalidation":                      func(t *testing.T) { s.undone(t, "cache", state.ItemDone, ""); s.left(t, "cache", drill.Broken) },
			"cdn_purge":                               func(t *testing.T) { s.undone(t, "cdn", state.ItemDone, ""); s.left(t, "cdn", drill.Broken) },
			"dns_propagation_check":                   func(t *testing.T) { s.undone(t, "dns", state.ItemDone, ""); s.left(t, "dns", "127.0.0.1") },
			"health_verification":                     func(t *testing.T) { s.says(t, "rollback", "rolled back: ", drill.Broken); s.only(drill.Broken) },
			"escalation_on_failure":                   func(t *testing.T) { w.says(t, "failed rollback", "senior engineer (Carol) paged", "by hand: ") },
			"migration_rollback_with_integrity_check": func(t *testing.T) { w.says(t, "database back", "database back at migration 41, checked, backup in") },
			"emergency_snapshot_if_it_fails": func(t *testing.T) {
				w.says(t, "database broken", "database is not whole at migration 41", "the emergency dump")
			},
		},
		"incident_create": {
			"sev0_to_sev3": func(t *testing.T) {
				for _, x := range []string{"SEV0", "SEV1", "SEV2", "SEV3"} {
					s.says(t, "declare "+x, x+" Payment Gateway Down")
				}
			},
			"team_assembled_and_notified": func(t *testing.T) {
				s.heard(t, "pages", "you are needed as on-call", "you are needed as engineering manager")
			},
			"commander": func(t *testing.T) { s.says(t, "timeline", "is incident commander") },
			"war_room":  func(t *testing.T) { s.fact(t, "room", "https://meet.shop.example/"+s.id) },
			"status_page": func(t *testing.T) {
				s.posted(t, "/v1/pages/p1/incidents", `"status":"investigating"`, "Payment Gateway Down")
			},
			"customer_template": func(t *testing.T) {
				s.heard(t, "customers", "you may have trouble using shop", "We are sorry for the inconvenience")
			},
			"executive_escalation": func(t *testing.T) { s.says(t, "declare SEV0", "executives (bob) after 15m") },
			"timeline":             func(t *testing.T) { s.says(t, "timeline", "SEV1 Payment Gateway Down (production shop)") },
		},
		"incident_update": {
			"cadence": s.cadence,
			"broadcast": func(t *testing.T) {
				for _, ch := range []string{"team", "stakeholders", "customers"} {
					s.heard(t, ch, "15 minutes")
				}
				s.posted(t, "/slack", "INCIDENT UPDATE: SEV1")
				s.posted(t, "/v1/pages/p1/incidents/sp1", `"status":"identified"`)
			},
			"per_audience_message": func(t *testing.T) {
				s.heard(t, "customers", "we found the problem and are fixing it")
				s.heard(t, "team", "INCIDENT UPDATE: SEV1")
				s.heard(t, "executives", "In command: alice")
			},
			"progress":            func(t *testing.T) { s.says(t, "timeline", "status update (identified)", "expected 15 minutes") },
			"evidence_collection": func(t *testing.T) { s.says(t, "head", "is event") },
		},
		"incident_resolve": {
			"confirmation": func(t *testing.T) {
				s.resolved(t, func(f state.IncidentResolved) bool { return strings.HasSuffix(f.Confirmed, "probes ok") })
			},
			"root_cause": func(t *testing.T) {
				s.resolved(t, func(f state.IncidentResolved) bool { return f.RootCause == "null pointer" })
			},
			"action_items": func(t *testing.T) {
				s.resolved(t, func(f state.IncidentResolved) bool {
					return len(f.ActionItems) == 1 && strings.HasPrefix(f.ActionItems[0], "add validation (alice, by ")
				})
			},
			"customer_notice":        func(t *testing.T) { s.heard(t, "customers", "it works again", "Thank you for your patience") },
			"post_mortem_scheduled":  func(t *testing.T) { s.paper(t, "review.ics", "METHOD:REQUEST", "DTSTART", s.id) },
			"alert_tuning_list":      func(t *testing.T) { s.paper(t, "alerts.md", s.id) },
			"knowledge_base_article": func(t *testing.T) { s.paper(t, "article.md", "null pointer") },
			"status_page_resolved":   func(t *testing.T) { s.posted(t, "/v1/pages/p1/incidents/sp1", `"status":"resolved"`) },
		},
		"validate": {
			"smoke":                  func(t *testing.T) { s.passed(t, "validate", "smoke", "fixed", "sign in") },
			"integration_subset":     func(t *testing.T) { s.passed(t, "validate", "focused") },
			"migration_dry_run":      func(t *testing.T) { s.passed(t, "validate", "migration") },
			"performance_regression": func(t *testing.T) { s.passed(t, "validate production", "performance") },
			"vulnerability_scan":     func(t *testing.T) { s.passed(t, "validate", "security") },
			"configuration":          func(t *testing.T) { s.passed(t, "validate", "config") },
			"dependency_conflicts":   func(t *testing.T) { s.passed(t, "validate", "dependencies") },
			"backward_compatibility": func(t *testing.T) { s.passed(t, "validate", "compatibility") },
		},
		"verify": {
			"health_polling":        func(t *testing.T) { s.covered(t, "health") },
			"error_rate":            func(t *testing.T) { s.covered(t, "errors") },
			"response_time":         func(t *testing.T) { s.covered(t, "latency") },
			"connection_pool":       func(t *testing.T) { s.covered(t, "connections") },
			"external_dependencies": func(t *testing.T) { s.covered(t, "dependencies") },
			"session_validation":    func(t *testing.T) { s.covered(t, "sessions") },
			"transaction_success":   func(t *testing.T) { s.covered(t, "transactions") },
			"automatic_rollback":    func(t *testing.T) { w.says(t, "verify", "rolled back: "); w.says(t, "live", "v1.2.3") },
		},
	} {
		t.Run(verb, func(t *testing.T) {
			for name, kept := range promises {
				t.Run(name, kept)
			}
		})
	}
}
