// Scripts that make a shell run `palyra complete` at each Tab. They run the `palyra` of the PATH, not the one that was
// typed: a Tab after ./palyra must not run the program in the current folder.
//
// The answer's first line is `words`, `file` or `folder`; with `words`, each other line is a word, a tab and its
// meaning.

export const shells = ['bash', 'zsh', 'fish'] as const;

export type Shell = (typeof shells)[number];

/** Works in the bash 3.2 of macOS, which has neither mapfile nor compopt. */
const bash = `# Completion of palyra for bash. In ~/.bashrc: source <(palyra completion bash)
_palyra_complete() {
  local word="\${COMP_WORDS[COMP_CWORD]}" kind='' line
  local -a answer=()
  [[ $word == '=' ]] && word=''
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ -z $kind ]]; then kind=$line; else answer+=("$line"); fi
  done < <(command palyra complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  case $kind in
    file | folder)
      compopt -o filenames 2>/dev/null
      [[ $kind == file ]] && kind=-f || kind=-d
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen "$kind" -- "$word")
      ;;
    words)
      # Descriptions contain device names, so they are added only when bash lists the words and inserts none.
      if [[ \${COMP_TYPE:-} != 63 ]]; then
        COMPREPLY=("\${answer[@]%%$'\\t'*}")
      else
        for line in "\${answer[@]}"; do
          [[ $line == *$'\\t' ]] && line=\${line%$'\\t'}
          COMPREPLY+=("\${line/$'\\t'/   # }")
        done
      fi
      ;;
  esac
}
complete -F _palyra_complete palyra
`;

const zsh = `#compdef palyra
# Completion of palyra for zsh. In ~/.zshrc, after compinit: source <(palyra completion zsh)
_palyra() {
  local line
  local -a answer described
  answer=("\${(@f)$(command palyra complete -- "\${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
  case $answer[1] in
    file) _files ;;
    folder) _files -/ ;;
    words)
      for line in "\${(@)answer[2,-1]}"; do
        described+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
      done
      _describe -t words palyra described
      ;;
  esac
}
if [[ $funcstack[1] == _palyra ]]; then _palyra "$@"; else compdef _palyra palyra; fi
`;

const fish = `# Completion of palyra for fish: palyra completion fish > ~/.config/fish/completions/palyra.fish
function __palyra_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l answer (command palyra complete -- $words[2..] "$current" 2>/dev/null)
    switch "$answer[1]"
        case file
            __fish_complete_path "$current"
        case folder
            __fish_complete_directories "$current"
        case words
            set -q answer[2]; and printf '%s\\n' $answer[2..]
    end
end
complete -c palyra -f -a '(__palyra_complete)'
`;

export const scripts: Readonly<Record<Shell, string>> = { bash, zsh, fish };
