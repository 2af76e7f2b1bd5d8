package ui

import (
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"

	"mayday/state"
	"mayday/ui/theme"
	"mayday/ui/timeline"
)

// prompt is the line at the bottom where a filter or a command is typed.
type prompt struct {
	mark string // "/" or ":"
	line textinput.Model
	hint string // completions, when tab found several
}

func newPrompt(mark, value string) *prompt {
	p := &prompt{mark: mark, line: textinput.New()}
	p.line.Prompt, p.line.CharLimit = "", 500
	p.line.SetStyles(textinput.Styles{})
	p.line.SetValue(value)
	p.line.CursorEnd()
	p.line.Focus()
	return p
}

func (p *prompt) paste(text string) {
	p.line, _ = p.line.Update(tea.PasteMsg{Content: theme.Safe(text)})
}

func (p *prompt) view(t *theme.Theme, w int) string {
	hint := p.hint
	if hint == "" && p.mark == ":" {
		hint = "tab completes, enter runs, esc leaves"
	} else if hint == "" && p.mark == searchMark {
		hint = "enter finds; then > and < go on and back"
	} else if hint == "" {
		hint = "enter keeps the filter, esc clears it"
	}
	p.line.SetWidth(max(w*2/3, 8))
	return theme.RowLeft(" "+t.Key.Render(p.mark)+" "+p.line.View(), t.Past.Render(theme.Cut(hint, w/2))+" ", w)
}

func (m *Model) startCommand() tea.Cmd { m.prompt = newPrompt(":", ""); return nil }

// searchMark begins the line in which a search is typed.
const searchMark = "\\"

func (m *Model) startSearch() tea.Cmd {
	m.tab = tabTimeline
	m.prompt = newPrompt(searchMark, m.panes.timeline.Sought())
	return nil
}

// searchOn goes on with the search in a direction.
func (m *Model) searchOn(find func(*timeline.Pane) bool) tea.Cmd {
	m.tab = tabTimeline
	if !find(m.panes.timeline) {
		m.say(toneInfo, "no event holds \""+m.panes.timeline.Sought()+"\"")
	}
	return nil
}

func whyNoSearch(m *Model) string {
	return unless(m.panes.timeline.Sought() != "", "nothing is searched for; \\ begins a search of the timeline")
}

func whyNoFilter(m *Model) string {
	return unless(m.tab == tabList || m.tab == tabTimeline, "this pane has no filter; the checklist (1) and the timeline (3) have one")
}

func (m *Model) startFilter() tea.Cmd {
	m.prompt = newPrompt("/", m.filter())
	return nil
}

func (m *Model) promptKey(k tea.KeyPressMsg) tea.Cmd {
	p := m.prompt
	switch k.String() {
	case "esc", "ctrl+c":
		m.prompt = nil
		if p.mark == "/" {
			m.setFilter("")
		}
		return m.popup()
	case "enter":
		m.prompt = nil
		switch p.mark {
		case ":":
			return m.command(p.line.Value())
		case searchMark:
			return tea.Batch(m.search(p.line.Value()), m.popup())
		}
		return m.popup()
	case "tab":
		if p.mark == ":" {
			m.complete()
		}
		return nil
	}
	p.line, _ = p.line.Update(k)
	p.hint = ""
	if p.mark == "/" {
		m.setFilter(p.line.Value())
	}
	return nil
}

// verb is a command of the palette.
type verb struct {
	name, args, help string
	in               where
	acts             bool
	complete         func(*Model) []string // what the first argument can be; optional
	do               func(m *Model, args string) tea.Cmd
}

var verbs []verb

func init() {
	do := func(make func(args string) state.Intent) func(*Model, string) tea.Cmd {
		return func(m *Model, args string) tea.Cmd { return m.do(make(args)) }
	}
	verbs = []verb{
		{"note", "TEXT", "write a note", live, true, nil, do(func(a string) state.Intent { return state.AddNote{Text: a} })},
		{"run", "ITEM [NAME=VALUE]", "run an action (shows its commands first, where it changes something)", live, true, (*Model).itemIDs, (*Model).openItem},
		{"check", "ITEM [WORDS]", "check an item", live, true, (*Model).itemIDs, do(func(a string) state.Intent {
			id, words, _ := strings.Cut(a, " ")
			return state.Tick{Item: id, Value: strings.TrimSpace(words)}
		})},
		{"goto", "ITEM|TIME", "put the cursor on an item, or a step by its number; in a recording, go to a time such as 03:14:15", live | replaying, false, (*Model).itemIDs, (*Model).gotoItem},
		{"ack", "[ROLE]", "acknowledge pages", live, true, (*Model).roleNames, do(func(a string) state.Intent { return state.Ack{Role: a} })},
		{"escalate", "[ROLE]", "page the next level, or a role, now", live, true, (*Model).roleNames, do(func(a string) state.Intent { return state.Escalate{Role: a} })},
		{"snooze", "ROLE=10m", "put a level's page off", live, true, (*Model).roleNames, (*Model).snooze},
		{"role", "ROLE=PERSON", "give a role to a person", live, true, (*Model).roleNames, (*Model).role},
		{"hand-over", "ROLE=PERSON[; WHY]", "give a role to another person, who is paged for it", live, true, (*Model).roleNames, (*Model).handOver},
		{"sev", "0|1|2|3 [WHY]", "change the severity", live, true, nil, (*Model).sevCommand},
		{"approve", "[COMMENT]", "sign the change off", live, true, nil, (*Model).approve},
		{"update", "", "send a status update", live, true, nil, func(m *Model, _ string) tea.Cmd { return m.update() }},
		{"go-on", "", "go on with a rollout that waits", live, true, nil, func(m *Model, _ string) tea.Cmd { return m.press("g") }},
		{"attempt", "", "open the next attempt", live, true, nil, func(m *Model, _ string) tea.Cmd { return m.press("t") }},
		{"rollback", "", "arm the rollback, as R does", live, true, nil, func(m *Model, _ string) tea.Cmd { return m.arm() }},
		{"search", "TEXT", "find an event in the timeline; then > and < go on and back; without a text, end the search", live | replaying, false, nil, (*Model).search},
		{"help", "", "all keys and commands", live | replaying, false, nil, func(m *Model, _ string) tea.Cmd { return m.help() }},
		{"quit", "", "leave the cockpit", live | replaying, false, nil, func(m *Model, _ string) tea.Cmd { return m.quit() }},
	}
}

// press does what a key does, with its reasons not to.
func (m *Model) press(key string) tea.Cmd {
	b := lookup(key, m.context())
	if why := m.disabled(b); why != "" {
		m.say(toneWarn, b.keys[0]+": "+why)
		return nil
	}
	return b.do(m)
}

// command runs a typed line. A verb may be shortened as far as it is clear.
func (m *Model) command(line string) tea.Cmd {
	name, args, _ := strings.Cut(strings.TrimSpace(line), " ")
	if name == "" {
		return nil
	}
	found := m.verbsLike(name)
	if len(found) != 1 {
		m.say(toneWarn, "there is no command \""+name+"\"; ? lists them, tab completes")
		return nil
	}
	if found[0].acts && m.replay() {
		m.say(toneWarn, whyReplay)
		return nil
	}
	return found[0].do(m, strings.TrimSpace(args))
}

func (m *Model) verbsLike(name string) []verb {
	var out []verb
	for _, v := range verbs {
		if v.name == name {
			return []verb{v}
		}
		if strings.HasPrefix(v.name, name) {
			out = append(out, v)
		}
	}
	return out
}

// complete finishes the word before the cursor as far as it is clear, and lists
// what is possible.
func (m *Model) complete() {
	p := m.prompt
	name, args, more := strings.Cut(strings.TrimLeft(p.line.Value(), " "), " ")
	var all []string
	prefix, lead := name, ""
	if more {
		found := m.verbsLike(name)
		if len(found) != 1 || found[0].complete == nil {
			return
		}
		prefix, lead, all = args, found[0].name+" ", found[0].complete(m)
	} else {
		for _, v := range verbs {
			if v.in&m.context() != 0 {
				all = append(all, v.name)
			}
		}
	}
	var hits []string
	for _, s := range all {
		if strings.HasPrefix(s, prefix) {
			hits = append(hits, s)
		}
	}
	sort.Strings(hits)
	if len(hits) == 0 {
		p.hint = "nothing begins so"
		return
	}
	common := hits[0]
	for _, s := range hits[1:] {
		for !strings.HasPrefix(s, common) {
			common = common[:len(common)-1]
		}
	}
	p.hint = strings.Join(hits, " ")
	if len(hits) == 1 {
		p.hint = ""
		if !more {
			common += " "
		}
	}
	p.line.SetValue(lead + common)
	p.line.CursorEnd()
}

func (m *Model) itemIDs() []string {
	var out []string
	in := m.scene.Incident
	for i := range in.Playbook {
		for j := range in.Playbook[i].Items {
			out = append(out, in.Playbook[i].Items[j].ID)
		}
	}
	for i := range in.Steps {
		for j := range in.Steps[i].Items {
			out = append(out, in.Steps[i].Items[j].ID)
		}
	}
	return out
}

func (m *Model) roleNames() []string {
	out := []string{state.Driver, state.Reviewer, state.CommsLead, state.Scribe, state.Commander}
	for _, l := range m.scene.Incident.Levels {
		if !strings.Contains(" "+strings.Join(out, " ")+" ", " "+l.Role+" ") {
			out = append(out, l.Role)
		}
	}
	return out
}

func (m *Model) openItem(what string) tea.Cmd {
	in := m.scene.Incident
	id, rest, _ := strings.Cut(what, " ")
	it := in.Item(id)
	if it == nil {
		m.say(toneWarn, "there is no item \""+id+"\"; tab lists them")
		return nil
	}
	m.list.Select(id)
	values := map[string]string{}
	for _, pair := range strings.Fields(rest) {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			m.say(toneWarn, "\""+pair+"\" is not NAME=VALUE, such as dirty=allow")
			return nil
		}
		values[name] = value
	}
	switch {
	case len(values) == 0 || it.Status == state.ItemRunning || in.Blocker(it) != nil || m.shut(it):
		return m.enterItem(it)
	case it.Kind != state.Action || it.Status.Settled():
		m.say(toneWarn, named(it)+": only an action that is still to be done takes values")
		return nil
	case it.Changes:
		return m.confirm(it, values)
	}
	return m.run(id, values)
}

func (m *Model) gotoItem(what string) tea.Cmd {
	if m.replay() {
		if at, err := time.Parse("15:04:05", what); err == nil {
			m.seekClock(at)
			return nil
		}
	}
	what = m.ofStep(what)
	if m.scene.Incident.Item(what) == nil {
		m.say(toneWarn, "there is no step or item \""+what+"\"; tab lists them")
		return nil
	}
	m.tab = tabList
	m.list.Select(what)
	return nil
}

// ofStep turns a step's number into its item that comes next, else its first.
func (m *Model) ofStep(what string) string {
	no, err := strconv.Atoi(what)
	st := m.scene.Incident.Step(no)
	if err != nil || st == nil || len(st.Items) == 0 {
		return what
	}
	i := max(slices.IndexFunc(st.Items, func(it state.Item) bool { return !it.Status.Settled() }), 0)
	return st.Items[i].ID
}

func (m *Model) search(text string) tea.Cmd {
	m.tab = tabTimeline
	if !m.panes.timeline.Search(text) {
		m.say(toneInfo, "no event holds that text")
	}
	return nil
}

func (m *Model) snooze(args string) tea.Cmd {
	role, length, ok := strings.Cut(args, "=")
	d := snoozeFor
	if ok {
		if err := d.UnmarshalText([]byte(strings.TrimSpace(length))); err != nil {
			m.refused(err)
			return nil
		}
	}
	return m.do(state.Snooze{Role: strings.TrimSpace(role), For: d})
}

func (m *Model) role(args string) tea.Cmd {
	role, who, ok := strings.Cut(args, "=")
	if !ok || strings.TrimSpace(who) == "" {
		m.say(toneWarn, "write role ROLE=PERSON, such as: role driver=bob")
		return nil
	}
	return m.do(state.SetRole{Role: strings.TrimSpace(role), Person: strings.TrimSpace(who)})
}

func (m *Model) handOver(args string) tea.Cmd {
	role, who, ok := strings.Cut(args, "=")
	who, why, _ := strings.Cut(who, ";")
	if who = strings.TrimSpace(who); !ok || who == "" {
		m.say(toneWarn, "write hand-over ROLE=PERSON, such as: hand-over incident commander=bob; my shift ends")
		return nil
	}
	return m.do(state.HandOver{Role: strings.TrimSpace(role), To: who, Why: strings.TrimSpace(why)})
}

func (m *Model) sevCommand(args string) tea.Cmd {
	to, why, _ := strings.Cut(args, " ")
	s, err := state.ParseSeverity(to)
	if err != nil {
		m.refused(err)
		return nil
	}
	return m.do(state.SetSeverity{To: s, Reason: strings.TrimSpace(why)})
}

func (m *Model) approve(comment string) tea.Cmd {
	if why := whyNoSign(m); why != "" {
		m.say(toneWarn, why)
		return nil
	}
	return m.do(state.Sign{Item: signOff(m.scene.Incident).ID, Comment: comment})
}
