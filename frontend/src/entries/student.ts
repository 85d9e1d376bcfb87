import '../styles/base.css';
import { mount } from 'svelte';
import Student from '../pages/Student.svelte';
import { codeFromPath } from '../state/classroomCode';

mount(Student, { target: document.getElementById('app')!, props: { code: codeFromPath(location.pathname) } });
