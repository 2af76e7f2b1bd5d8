package term

import (
	"fmt"
	"os"

	tea "charm.land/bubbletea/v2"
)

// Bare runs the smallest Bubble Tea program, which is what the cockpit's speed is
// compared with: it shows how many keys were pressed, and does nothing else.
func Bare() {
	if _, err := tea.NewProgram(bare(0)).Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type bare int

func (n bare) Init() tea.Cmd { return nil }

func (n bare) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if _, ok := msg.(tea.KeyPressMsg); ok {
		n++
	}
	return n, nil
}

func (n bare) View() tea.View {
	v := tea.NewView(fmt.Sprintf("%d keys ", n))
	v.AltScreen = true
	return v
}
