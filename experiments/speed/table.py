"""The speed table in Markdown, from the rows that experiments/speed has measured."""

GIB = 2**30


def markdown(table: dict) -> str:
  """One table of steps, one of starts and memory, one of the input pipeline, and the machines."""
  steps = {k: v for k, v in table.items() if v['kind'] != 'input'}
  parts = []
  if steps:
    parts += [step_lines(steps), start_lines(steps)]
  parts += [input_line(v) for v in table.values() if v['kind'] == 'input']
  parts.append(machines(table))
  return '\n\n'.join(parts) + '\n'


def step_lines(rows: dict) -> str:
  head = ['row', 'ours', 'PyTorch', 'its best form', '**ratio**', 'ratio of CPU times', 'of matmul: ours, PyTorch']
  lines = [head, ['---'] * len(head)]
  for row in rows.values():
    s = row['summary']
    rival = 'best' in s
    shares = [f'{s[k]:.0%}' if k in s else '' for k in ('of_matmul', 'torch_of_matmul')]
    lines.append(
      [
        row['title'],
        seconds(s['ours_s']),
        seconds(s['torch_s']) if rival else '',
        s['best'] if rival else '',
        f'**{ratio(s["ratio_wall"])}**' if rival else '',
        ratio(s['ratio_cpu']) if rival else '',
        ', '.join(filter(None, shares)),
      ]
    )
  return lay_out(lines)


def start_lines(rows: dict) -> str:
  head = ['row', 'first step cold', 'warm', 'start', "PyTorch's first", 'peak memory', 'PyTorch', 'ratio']
  lines = [head, ['---'] * len(head)]
  for row in rows.values():
    best = row['summary'].get('best')
    where = 'device' if row['platform'] == 'gpu' else 'host'
    lines.append(
      [
        row['title'],
        seconds(row['first_cold']['first']),
        seconds(row['first_warm']['first']) if 'first_warm' in row else '',
        seconds(row['first_cold']['start']),
        seconds(row['first_torch'][best]) if best else '',
        gib(row['memory']['ours'][where]),
        gib(row['memory'][best][where]) if best else '',
        f'{row["summary"]["memory_ratio"]:.2f}' if best else '',
      ]
    )
  return lay_out(lines)


def input_line(row: dict) -> str:
  return (
    f'{row["title"]}: {row["first_pass"]:.0f} pairs a second in the first pass, {row["later"]:.0f} in later ones; '
    f'while pix2pix trains on them, {row["wait"]:.2%} of the time is spent waiting for data.'
  )


def machines(table: dict) -> str:
  """One line a kind of machine, commit and day."""
  found = {}
  for row in table.values():
    m = row['machine']
    devices = ', '.join(sorted(set(row.get('devices', {}).values())))
    text = f'{m["cpu"]}, {m["cores"]} cores, Python {m["python"]}; {devices}; {row["date"]}, commit {row["commit"]}'
    found.setdefault(text, []).append(row['title'])
  if len(found) == 1:
    return next(iter(found))
  return '\n'.join(f'- {text}: {"; ".join(titles)}' for text, titles in found.items())


def lay_out(lines: list[list[str]]) -> str:
  return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def seconds(value: float) -> str:
  return f'{value:.3g} s' if value >= 1 else f'{value * 1000:.3g} ms'


def ratio(values: list[float]) -> str:
  middle, least, most = values
  return f'{middle:.2f} ({least:.2f} to {most:.2f})'


def gib(value: float | None) -> str:
  return '' if value is None else f'{value / GIB:.2f} GiB'
