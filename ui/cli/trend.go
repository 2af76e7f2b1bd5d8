package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"mayday/state"
	"mayday/state/journal"
	"mayday/steps/drill"
	"mayday/ui/chart"
)

// keepScore keeps a drill's card beyond its folder. A card that cannot be kept is said,
// and is no failure of the drill.
func (a *app) keepScore(in *state.Incident, s state.Score, auto bool) {
	home, err := journal.Home()
	if err == nil {
		err = journal.KeepScore(home, cardOf(in, s, auto))
	}
	if err != nil {
		a.complain(err)
	}
}

func cardOf(in *state.Incident, s state.Score, auto bool) journal.Score {
	return journal.Score{Incident: in.ID, Declared: in.Declared, Auto: auto, Speed: in.Clock.Speed, Card: s}
}

// cards gives every drill's card that this host knows, oldest first: those that are kept,
// and those of drills whose journals are here, such as one on a range for other
// terminals. What is found in a journal only is kept from now on.
func (a *app) cards() ([]journal.Score, error) {
	home, err := journal.Home()
	if err != nil {
		return nil, err
	}
	out, err := journal.Scores(home)
	if err != nil {
		return nil, err
	}
	list, err := all()
	if err != nil {
		return nil, err
	}
	for _, f := range list {
		score, ok := scoreOf(f)
		if !ok {
			continue
		}
		c := cardOf(f.in, score, byItself(f.events))
		if i := slices.IndexFunc(out, c.Same); i >= 0 {
			continue
		}
		a.keepScore(f.in, score, c.Auto)
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(x, y journal.Score) int { return x.Declared.Compare(y.Declared) })
	return out, nil
}

// scoreOf is the card of a drill that has one or can have one: it has ended, or was
// taken back.
func scoreOf(f found) (state.Score, bool) {
	switch in := f.in; {
	case in.Drill == "":
		return state.Score{}, false
	case in.Score != nil:
		return *in.Score, true
	case in.Open() && in.Rollback.Status != state.RollbackDone && in.Rollback.Status != state.RollbackFailed:
		return state.Score{}, false
	}
	s, err := drill.Find(f.in.Drill)
	if err != nil {
		return state.Score{}, false // of another version
	}
	return drill.Score(f.in, f.events, s), true
}

// byItself reports whether the scripted operator kept a drill.
func byItself(events []state.Event) bool {
	for _, e := range events {
		if _, ok := e.Fact.(state.KeeperStarted); ok {
			return e.Actor.Via == "auto"
		}
	}
	return false
}

// measured is one figure of a card over the drills of a scenario.
type measured struct {
	name      string
	unit      string
	lowIsGood bool
	of        func(state.Score) float64 // 0: it did not happen, where low is good
}

var figures = []measured{
	{"points", "", false, func(s state.Score) float64 { return float64(s.Points()) }},
	{"acknowledge", "s", true, func(s state.Score) float64 { return s.Acknowledge.D().Seconds() }},
	{"decide", "s", true, func(s state.Score) float64 { return s.Decide.D().Seconds() }},
	{"mitigate", "s", true, func(s state.Score) float64 { return s.Mitigate.D().Seconds() }},
	{"detect", "s", true, func(s state.Score) float64 { return s.Detect.D().Seconds() }},
	{"rollback", "s", true, func(s state.Score) float64 { return s.Rollback.D().Seconds() }},
}

// trend is how one figure went over the drills of one scenario, by people or by the
// scripted operator.
type trend struct {
	Scenario  string    `json:"scenario"`
	Auto      bool      `json:"auto"`
	Figure    string    `json:"figure"`
	Values    []float64 `json:"values"` // points, or seconds; oldest first
	Last      float64   `json:"last"`
	Before    float64   `json:"before"` // the mean of those before the last; 0: there is none
	Direction string    `json:"direction"`
}

// steady is how little a figure may differ from the mean before to count as the same: a
// tenth.
const steady = 0.1

func trends(cards []journal.Score) []trend {
	var out []trend
	type group struct {
		scenario string
		auto     bool
	}
	var groups []group
	for _, c := range cards {
		if g := (group{c.Card.Scenario, c.Auto}); !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	for _, g := range groups {
		for _, m := range figures {
			t := trend{Scenario: g.scenario, Auto: g.auto, Figure: m.name}
			for _, c := range cards {
				if c.Card.Scenario == g.scenario && c.Auto == g.auto {
					if v := m.of(c.Card); v > 0 || !m.lowIsGood {
						t.Values = append(t.Values, v)
					}
				}
			}
			if len(t.Values) > 0 {
				t.direct(m.lowIsGood)
				out = append(out, t)
			}
		}
	}
	return out
}

func (t *trend) direct(lowIsGood bool) {
	n := len(t.Values)
	t.Last, t.Direction = t.Values[n-1], "first"
	if n == 1 {
		return
	}
	for _, v := range t.Values[:n-1] {
		t.Before += v / float64(n-1)
	}
	change := t.Last - t.Before
	if lowIsGood {
		change = -change
	}
	switch margin := t.Before * steady; {
	case change > margin:
		t.Direction = "better"
	case change < -margin:
		t.Direction = "worse"
	default:
		t.Direction = "steady"
	}
}

// drillTrend is mayday drill --trend.
func (a *app) drillTrend() error {
	cards, err := a.cards()
	if err != nil {
		return err
	}
	if a.flags.json {
		return a.trendJSON(cards)
	}
	if len(cards) == 0 {
		fmt.Fprintln(a.out, "no drill on this host yet; mayday drill rehearses one")
		return nil
	}
	fmt.Fprintf(a.out, "%-16s  %-11s %-5s %6s  %-6s %11s %8s %9s %8s %9s %6s\n", "date", "scenario", "by", "points", "ended", "acknowledge", "decide", "mitigate", "detect", "rollback", "steps")
	for _, c := range cards {
		s := c.Card
		fmt.Fprintf(a.out, "%-16s  %-11s %-5s %6d  %-6s %11s %8s %9s %8s %9s %3d/18\n", c.Declared.Format("2006-01-02 15:04"), state.Clean(s.Scenario), players[c.Auto], s.Points(),
			map[bool]string{true: "well", false: "badly"}[s.Passed], took(s.Acknowledge), took(s.Decide), took(s.Mitigate), took(s.Detect), took(s.Rollback), s.Done)
	}
	last, list := "", trends(cards)
	width := 0
	for _, t := range list {
		width = max(width, min(len(t.Values), sparkWidth))
	}
	for _, t := range list {
		if head := t.Scenario + ", " + players[t.Auto]; head != last {
			fmt.Fprintf(a.out, "\n%s\n", state.Clean(head))
			last = head
		}
		fmt.Fprintf(a.out, "  %-12s %s  %s\n", t.Figure, spark(t.Values, width), t.says())
	}
	_, err = fmt.Fprintln(a.out, "\npoints: 50 for the right end, 20 for pages, 15 for updates, 15 for leaving nothing out; each miss costs 5.\n"+
		"better, worse: the last one against the mean of those before, by more than a tenth. Times are incident time.")
	return err
}

// players are who played a drill, by whether it was the scripted operator.
var players = map[bool]string{true: "auto", false: "hand"}

func (t trend) says() string {
	text := quantity(t.Figure, t.Last)
	if t.Direction == "first" {
		return text + ", the first"
	}
	return fmt.Sprintf("%s, %s (before: %s)", text, t.Direction, quantity(t.Figure, t.Before))
}

func quantity(figure string, v float64) string {
	if figure == "points" {
		return fmt.Sprintf("%.0f", v)
	}
	return took(state.Duration(time.Duration(v * float64(time.Second))))
}

// took writes a time of a card, to the second; what did not happen is a dash.
func took(d state.Duration) string {
	if d == 0 {
		return "–"
	}
	return state.Duration(d.D().Round(time.Second)).String()
}

// sparkWidth is how many drills a sparkline shows, the last ones.
const sparkWidth = 20

// spark draws the last values as a sparkline of that width, one a column.
func spark(values []float64, width int) string {
	values = values[max(len(values)-width, 0):]
	var list chart.List
	for i, v := range values {
		list = append(list, state.Sample{At: time.Unix(int64(i), 0), Value: v, Verdict: state.OK})
	}
	win := chart.Window{End: time.Unix(int64(len(values))-1, 0), Span: time.Duration(len(values)) * time.Second}
	lo, hi := chart.Range(win, nil, list)
	return strings.Repeat(" ", width-len(values)) + chart.Spark{Window: win, Lo: lo, Hi: hi}.Draw(list, len(values))
}

func (a *app) trendJSON(cards []journal.Score) error {
	type row struct {
		Incident string      `json:"incident"`
		Declared time.Time   `json:"declared"`
		Auto     bool        `json:"auto"`
		Speed    float64     `json:"speed,omitempty"`
		Points   int         `json:"points"`
		Score    state.Score `json:"score"`
	}
	rows, list := []row{}, trends(cards)
	for _, c := range cards {
		rows = append(rows, row{c.Incident, c.Declared, c.Auto, c.Speed, c.Card.Points(), c.Card})
	}
	if list == nil {
		list = []trend{}
	}
	return json.NewEncoder(a.out).Encode(map[string]any{"v": shape, "drills": rows, "trends": list})
}
