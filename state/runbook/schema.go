package runbook

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"mayday/state"
)

// JSONSchema describes mayday.yaml for editors (draft 2020-12). It knows the keys, the
// types and the words; what Parse checks beyond that it cannot say.
func JSONSchema() []byte {
	s := schemaOf(reflect.TypeFor[Runbook](), "")
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "mayday.yaml"
	s["required"] = []string{"service"}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // maps of strings always marshal
	}
	return append(b, '\n')
}

// choices are the words of the fields that choose, by type and key.
var choices = map[string][]string{
	"Repo.model": models, "Repo.from": froms, "Repo.branch": branches, "Version.scheme": schemes,
	"Environment.strategy": strategies, "Gate.warn": gateWords, "Gate.crit": gateWords, "Gate.no_data": gateWords,
	"Gate.stale": gateWords, "Gate.error": gateWords, "Rollback.on_exit": exits, "Rollback.required": AfterHooks, "Channel.kind": kinds, "Compare.by": comparisons, "Mail.tls": mailTLS, "Tickets.kind": trackers,
	"Channel.audiences": audiences, "Probe.role": probeRoles, "Probe.covers": state.Covered, "TLS.min_version": tlsVersions, "DNS.type": dnsTypes, "Alerts.from": alertSources, "ReviewHours.days": weekdays,
	"Runbook.presets": slices.Sorted(maps.Keys(presets)),
}

func schemaOf(t reflect.Type, field string) map[string]any {
	switch t {
	case durationType:
		return map[string]any{"type": "string", "description": "a duration: 30s, 5m, 1h30m, 2d"}
	case timeType:
		return map[string]any{"type": "string", "format": "date-time"}
	case commandType:
		return map[string]any{"anyOf": []any{object(t), schemaOf(reflect.TypeFor[[]string](), "")}}
	case scriptType:
		return map[string]any{"anyOf": []any{object(t), object(commandType), schemaOf(reflect.TypeFor[[]string](), "")}}
	case limitType:
		return map[string]any{"anyOf": []any{map[string]any{"type": "number"}, map[string]any{"type": "string", "pattern": limitPattern}}}
	case promType, managerType, compareType:
		return map[string]any{"anyOf": []any{object(t), map[string]any{"type": "string"}}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem(), field)
	case reflect.Struct:
		return object(t)
	case reflect.Map:
		out := map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem(), "")}
		if t.Key() == reflect.TypeFor[state.Severity]() {
			out["propertyNames"] = map[string]any{"pattern": "^([sS][eE][vV][0-3]|[0-3]|critical|high|medium|low)$"}
		}
		return out
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem(), field)}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	}
	out := map[string]any{"type": "string"}
	if t == reflect.TypeFor[Series]() {
		out["pattern"] = seriesPattern
	}
	if words, ok := choices[field]; ok {
		out["enum"] = words
	}
	return out
}

func object(t reflect.Type) map[string]any {
	properties := map[string]any{}
	for i := range t.NumField() {
		if name := nameOf(t.Field(i)); name != "" {
			properties[name] = schemaOf(t.Field(i).Type, t.Name()+"."+name)
		}
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
}
